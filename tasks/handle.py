"""The marked door: run a handler in this process, on our own GPU or the CPU preview."""

import logging
import socket
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any, Self, TypeVar
from uuid import UUID

from celery.exceptions import Ignore

import journal
from db import attempts
from tasks import ending
from tasks.app import app
from tools.errors import ToolError, Unavailable
from tools.outcome import Outcome

logger = logging.getLogger(__name__)

Found = TypeVar("Found")

#: What leads from a line of a handler back to the request.
IDS = ("job_id", "flow_id", "request_id")

#: Seconds between two signs of life; half a minute without one, and the attempt is lost.
BEAT_S = 5

#: Seconds between two tries to claim an attempt, and to write down its outcome: whoever paid for it waits.
AGAIN_S = 1

#: Seconds between two tellings of progress; the claim was the first sign of life.
NEWS_S = 0.5


# Acknowledged early: a worker's death must not hand the message to the next one, as the attempt's claim is spent.
@app.task(name="tasks.handle", bind=True, acks_late=False, ignore_result=True)
def handle(self: Any, attempt_id: str) -> None:
    """Claim an attempt, do it, and write down what it came to."""
    asked_at = monotonic()
    worker = f"{socket.gethostname()}:{self.request.hostname}"
    told = insist(lambda: attempts.claim(UUID(attempt_id), worker), f"the claim of {attempt_id}")
    if told is None:
        raise Ignore
    journal.begin(attempt_id=attempt_id, **{name: told[name] for name in IDS if told[name]})
    logger.info("handler begins", extra={"tool": told["tool"]})
    with Pulse(UUID(attempt_id)) as pulse:
        if monotonic() - asked_at > NEWS_S and not pulse.beat():
            raise Ignore  # this process stood still, and was given up meanwhile: another may have done it by now
        outcome = do(told, pulse)
        logger.info("handler ended", extra={"seconds": outcome.seconds, "error": (outcome.error or {}).get("code")})
    try:
        # The bucket has just answered this very process for the file: to ask it once more would prove nothing.
        ending.conclude(UUID(told["job_id"]), UUID(attempt_id), outcome)
    except ToolError as error:  # the outcome is with the attempt, where the watcher finds it
        logger.warning("job %s waits for the watcher: %s", told["job_id"], error)


def insist(act: Callable[[], Found], what: str) -> Found:
    """Act however long the database is away: the message is acknowledged, and what it asked for may be paid for."""
    level = logging.WARNING
    while True:
        try:
            return act()
        except Unavailable as error:
            logger.log(level, "%s waits for the database: %s", what, error)
            level = logging.DEBUG  # one line for each outage
            sleep(AGAIN_S)


def do(told: dict[str, Any], pulse: "Pulse") -> Outcome:
    """Run the handler; only here does the process pay for what a handler imports."""
    from gpu_handlers.attempt import run_attempt  # noqa: PLC0415 - the API and the main worker shall never load it

    return run_attempt(told, report=pulse.report, stop=pulse.stop, keep=partial(keep, pulse.attempt_id))


def keep(attempt_id: UUID, outcome: Outcome) -> bool:
    """Write an outcome into the attempt's row; False if another attempt has taken over."""
    written = outcome.model_dump(mode="json")
    return insist(lambda: attempts.finish(attempt_id, written), f"the outcome of {attempt_id}")


class Pulse:
    """Says that an attempt goes on and how far it is, and hears when it shall stop."""

    def __init__(self, attempt_id: UUID) -> None:
        self.attempt_id = attempt_id
        self.progress, self.stage = 0.0, "starting"
        self.stop, self.over, self.news = Event(), Event(), Event()
        self.thread = Thread(target=self.go_on, name=f"pulse {attempt_id}", daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.news.set()
        self.thread.join()

    def go_on(self) -> None:
        """Beat until it is over: soon when there is news, though not for each of a quick handler's stages."""
        while not self.over.wait(NEWS_S):
            self.news.wait(BEAT_S - NEWS_S)
            self.news.clear()
            if not self.over.is_set():
                self.beat()

    def report(self, progress: float, stage: str) -> None:
        """Take note of progress (0 to 1) and let it be told; the handler does not wait for the database."""
        self.progress, self.stage = progress, stage
        self.news.set()

    def beat(self) -> bool:
        """Beat once; False: an ended row means stop. A database that is away is no reason to."""
        try:
            if not attempts.beat(self.attempt_id, self.progress, self.stage):
                self.stop.set()
        except Unavailable as error:
            logger.debug("no beat for %s: %s", self.attempt_id, error)
        except Exception:  # without a next beat the attempt would count as lost, and be paid for once more
            logger.exception("no beat for %s", self.attempt_id)
        return not self.stop.is_set()
