"""Redis stopped, frozen, flushed: what a submit costs meanwhile, what goes on, and when all is made up for."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from celery import chain, chord

from benchmarks import stack
from benchmarks.report import Figure
from tests import rig
from tests.api.asking import post
from tests.conftest import wait_until
from tests.gateway.far import built
from tests.tasks.house import ENDED, House, read
from tests.town import Town

SUBMITS, CANVASES, FAR_JOBS = 40, 15, 4

#: Seconds between two submits: so many seconds of the outage are looked at.
PACE_S = 0.1

#: For which a message that was sent again and again may wait before Redis is flushed, in seconds.
LONG_WAIT_S = 60

PATIENCE_S = 120

nap: Any = rig.nap


def measure(town: Town, logs: Path) -> list[Figure]:
    """Take Redis away twice, from a house whose jobs are done at RunPod."""
    with stack.processes(logs, "redis") as starter, built(starter) as far:
        far.hire("w1", "w2")
        sent = [submit(far.site), publish()]  # the first of each takes its time
        return [*lose(town, far, "stopped", sent), *lose(town, far, "frozen", sent)]


def lose(town: Town, far: Any, how: str, sent: list[str]) -> list[Figure]:
    """Take Redis away, submit all the same, and let RunPod end what it has."""
    normal, normal_python = time_all(far.site, sent)
    wait_until(lambda: all(town.has_settled(job_id) for job_id in sent), PATIENCE_S)
    calls = [far.call(seconds=3) for _ in range(FAR_JOBS)]
    wait_until(lambda: all(call.attempts and call.attempts[0].remote_id for call in calls))
    gone = town.stop("valkey", signal.SIGKILL) if how == "stopped" else town.freeze("valkey")
    first = time_it(lambda: sent.append(submit(far.site)))
    time_it(publish)
    down, down_python = time_all(far.site, sent)
    wait_until(lambda: all(call.now["status"] in ENDED for call in calls), 60)
    over = sum(call.now["status"] == "completed" for call in calls)
    town.supervisor.start(gone) if gone else town.thaw()
    began = time.monotonic()
    mine = [*sent, *(call.job_id for call in calls)]
    wait_until(lambda: all(town.has_settled(job_id) for job_id in mine), PATIENCE_S)
    name = f"Redis {how}"
    return [
        Figure(f"{name}: submit before, median", median(normal) * 1000, "ms"),
        Figure(f"{name}: submit before, p95", p95(normal) * 1000, "ms"),
        Figure(f"{name}: the first submit", first, "s", "<= 2.5"),
        Figure(f"{name}: submit, median above normal", (median(down) - median(normal)) * 1000, "ms", "<= 50"),
        Figure(f"{name}: submit, p95 above normal", (p95(down) - p95(normal)) * 1000, "ms", "<= 50"),
        Figure(
            f"{name}: canvas, median above normal", (median(down_python) - median(normal_python)) * 1000, "ms", "<= 50"
        ),
        Figure(f"{name}: canvas, p95 above normal", (p95(down_python) - p95(normal_python)) * 1000, "ms", "<= 50"),
        Figure(f"{name}: RunPod's results not taken meanwhile", FAR_JOBS - over, "jobs", "<= 0"),
        Figure(f"{name}: back until all is done", time.monotonic() - began, "s", "<= 45"),
    ]


def time_all(site: str, sent: list[str]) -> tuple[list[float], list[float]]:
    """Time submits over HTTP, and canvases that are published from Python."""
    told = [time_it(lambda: sent.append(submit(site))) for _ in range(SUBMITS)]
    return told, [time_it(lambda: sent.append(publish())) for _ in range(CANVASES)]


def submit(site: str) -> str:
    """Submit a job."""
    answer = post(f"{site}/api/nap/async", {})
    answer.raise_for_status()
    return str(answer.json()["job_id"])


def publish() -> str:
    """Publish a canvas; gives its last job."""
    return str(chain(nap.s(), nap.s()).apply_async().id)


def time_it(do: Callable[[], object]) -> float:
    """Do it, and rest; seconds that it took."""
    began = time.perf_counter()
    do()
    took = time.perf_counter() - began
    time.sleep(PACE_S)
    return took


def p95(values: list[float]) -> float:
    """Give the 95th percentile."""
    return quantiles(values, n=20)[-1]


def measure_flush(town: Town, logs: Path) -> list[Figure]:
    """Flush Redis while jobs wait for a worker, for the GPU and to be settled, and a chord is open."""
    with stack.processes(logs, "flush") as starter:
        house = House(starter, gpus=1)
        header = [nap.s(seed=1), nap.s(seed=2), nap.s(seed=3, seconds=12)]
        opened: Any = chord(header, nap.s(image_url="${0.r2_path}")).apply_async()
        wait_until(lambda: sum(town.has_settled(one.id) for one in opened.parent.results) == 2)
        waiting = [nap.delay(seconds=3).id for _ in range(6)]
        wait_until(lambda: all(read(job_id)["status"] != "pending" for job_id in waiting))
        house.kill("main")
        pending = [nap.delay().id for _ in range(10)]
        time.sleep(LONG_WAIT_S)
        house.start("main")
        rig.app.backend.client.flushall()  # type: ignore[attr-defined]  # it is Redis
        began = time.monotonic()
        mine = [*waiting, *pending, opened.id, *(one.id for one in opened.parent.results)]
        wait_until(lambda: all(town.has_settled(job_id) for job_id in mine), PATIENCE_S, lambda: str(
            [read(job_id) for job_id in mine if not town.has_settled(job_id)]))  # fmt: skip
        again = max(house.written("began").values())
    return [
        Figure("Redis flushed: until all is done, an open chord too", time.monotonic() - began, "s", "<= 45"),
        Figure("Redis flushed: the most runs of one attempt", again, "", "<= 1"),
    ]
