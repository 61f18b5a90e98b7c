"""The entry of RunPod's workers, one for all tools: `python -m gpu_handlers.entry`."""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import journal
from gpu_handlers.attempt import run_attempt
from gpu_handlers.patience import insist
from storage import claims
from storage.bucket import BUDGET_S
from tools.errors import ComfyuiCrashed, OutOfMemory, ToolError
from tools.outcome import Outcome

logger = logging.getLogger(__name__)

Job = Mapping[str, Any]

#: Sends progress to RunPod, by a thread of its own: it may overtake the result, so none is told at the last moment.
Tell = Callable[[Job, dict[str, Any]], None]

#: Seconds between two tellings, and between the last one and the answer; from the fraction on, none is told.
TELL_EVERY_S, SETTLE_S, LAST_MOMENT = 1.0, 0.3, 0.95

#: What leads from a line that is logged here back to the request.
IDS = ("job_id", "attempt_id", "flow_id", "request_id")

#: The largest answer in bytes. RunPod takes 10 MB and loses what is larger; a larger outcome is read from the bucket.
LARGEST_ANSWER = 2**20

#: After these the worker is not to be trusted: RunPod shall start it anew.
SPOILED = {OutOfMemory.code, ComfyuiCrashed.code}


def main() -> None:
    """Take jobs until the worker is ended."""
    journal.configure()
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")  # by itself it logs every answer, and prompts with it
    from runpod import serverless  # noqa: PLC0415 - it takes over the root logger, and half of its library with it

    serverless.start({"handler": partial(handle, tell=serverless.progress_update)})


async def handle(job: Job, tell: Tell) -> dict[str, Any]:
    """Do a job in a thread, so that the worker hears when it shall stop; the slot is free only when the thread is."""
    stop = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(attend, job, stop, tell))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        raise


def attend(job: Job, stop: threading.Event, tell: Tell) -> dict[str, Any]:
    """Claim the attempt before the GPU is touched, do it, and keep the whole outcome before it is answered."""
    journal.begin(**{name: job["input"][name] for name in IDS if name in job["input"]})
    task, remote_id = job["input"], str(job["id"])
    attempt_id = str(task["attempt_id"])
    try:
        claim = insist(partial(claims.take, attempt_id, remote_id, os.environ.get("RUNPOD_POD_ID", "")), stop, BUDGET_S)
        # If RunPod gave the job out again, as its answer was lost:
        known = insist(partial(claims.find_outcome, attempt_id), stop, BUDGET_S)
    except ToolError as error:  # nothing was begun
        return fail(error.problem())
    if claim.remote_id != remote_id:
        return {"claim": claim.model_dump(mode="json")}
    return answer(known or run(job, stop, Progress(partial(tell, job))))


def run(job: Job, stop: threading.Event, progress: "Progress") -> Outcome:
    """Run the handler, and keep the outcome."""
    keep_it = partial(keep, str(job["input"]["attempt_id"]), stop)
    outcome = run_attempt(job["input"], report=progress.report, stop=stop, keep=keep_it)
    progress.settle()
    return outcome


def keep(attempt_id: str, stop: threading.Event, outcome: Outcome) -> bool:
    """Write an outcome into the bucket; False if it is not there."""
    if stop.is_set():  # whoever stopped it knows better what it came to
        return False
    try:
        insist(lambda: claims.keep_outcome(attempt_id, outcome), stop)
    except ToolError:  # the answer still tells of it
        logger.exception("the outcome could not be kept")
        return False
    return True


def answer(outcome: Outcome) -> dict[str, Any]:
    """Put an outcome into RunPod's form."""
    said = outcome.model_dump(mode="json", exclude={"error"})
    if len(json.dumps(said)) > LARGEST_ANSWER:
        said = {"kept": True}
    return said if outcome.error is None else {**said, **fail(outcome.error)}


def fail(problem: dict[str, Any]) -> dict[str, Any]:
    """Say that it failed: a key `error`, as text, is what makes a job of RunPod's a failed one."""
    spoiled = {"refresh_worker": True} if problem["code"] in SPOILED else {}
    return {"error": json.dumps(problem), **spoiled}


class Progress:
    """Tells RunPod how far a job is: seldom, and never at the last moment."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self.tell = tell
        self.began = self.told_at = time.monotonic()

    def report(self, fraction: float, stage: str) -> None:
        """Tell it, unless it was told of late or is nearly over."""
        if time.monotonic() - self.told_at >= TELL_EVERY_S and fraction < LAST_MOMENT:
            self.tell({"progress": round(fraction, 3), "stage": stage})
            self.told_at = time.monotonic()

    def settle(self) -> None:
        """Let the last telling arrive."""
        if self.told_at > self.began:
            time.sleep(max(0.0, self.told_at + SETTLE_S - time.monotonic()))


if __name__ == "__main__":
    main()
