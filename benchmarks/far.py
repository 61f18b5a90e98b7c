"""RunPod as the remote: from its webhook to the end of the job, and from a cancel to RunPod's own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stack
from benchmarks.report import Figure

JOBS, CANCELS, TASKS = 30, 12, 30


def measure(logs: Path) -> list[Figure]:
    """Run jobs at a RunPod of our own, with its own worker, and bare Celery tasks beside them."""
    with built(logs) as far:
        bare = median(time_task() for _ in range(TASKS))
        ended = [time_end(far) for _ in range(JOBS)]
        cancelled = [time_cancel(far) for _ in range(CANCELS)]
        doubled = sum(count > 1 for count in far.gateway.accepted().values())
    return [
        Figure("hook to completed, more than a bare task", (median(ended) - bare) * 1000, "ms", "<= 100"),
        Figure("hook to completed", median(ended) * 1000, "ms"),
        Figure("bare Celery task", bare * 1000, "ms"),
        Figure("cancel to RunPod's cancel, the slowest", max(cancelled), "s", "<= 1"),
        Figure("attempts that RunPod accepted twice", doubled, "", "<= 0"),
    ]


@contextmanager
def built(logs: Path) -> Iterator[Any]:
    """Run the house with RunPod behind it, a worker there, and the peer's worker."""
    from tests.gateway.far import built as build  # noqa: PLC0415 - settings are read only now that it is set

    with stack.processes(logs, "far") as starter, build(starter) as far:
        far.hire("w1")
        peer = starter.start(
            "celery", "-A", "benchmarks.peer:celery", "worker", "-c", "2", "-n", "far@here", "-l", "INFO"
        )
        peer.wait_for(lambda: "ready" in peer.said(), 60)
        time_task()
        time_end(far)
        yield far


def time_task() -> float:
    """Run a bare task: seconds from its sending to its result."""
    from benchmarks.peer import nothing  # noqa: PLC0415 - the environment must name the broker first

    began = time.perf_counter()
    nothing.delay().get(timeout=30)
    return time.perf_counter() - began


def time_end(far: Any) -> float:
    """Run a job: seconds from its webhook to its end."""
    call = far.call()
    ended_at = datetime.fromisoformat(call.end()["ended_at"]).timestamp()
    told = next(one for one in far.gateway.cloud.told if one.remote_id == call.work.id)
    return ended_at - float(told.at)


def time_cancel(far: Any) -> float:
    """Cancel a job that waits at RunPod: seconds until RunPod hears of it."""
    with far.gateway.having(paused=True):
        call = far.call()
        while not (call.attempts and call.attempts[0].remote_id):
            time.sleep(0.01)
        began = time.time()
        call.cancel()
        call.wait("CANCELLED")
    return float(far.gateway.cloud.cancelled_at[call.work.id]) - began


def main() -> None:
    """Measure this alone."""
    from benchmarks import report  # noqa: PLC0415 - only as a program

    with stack.servers() as logs:
        print(report.table(measure(logs)))


if __name__ == "__main__":
    main()
