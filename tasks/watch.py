"""Look after every job that is due: one pure table says what it needs. Runs as `packshot watch`."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import inf
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg2

import journal
from db import clock, crowd, life, listen, runs, unsent, watchers
from db.base import transaction
from db.jobs import Job
from db.traces import Attempt
from settings import settings
from storage.bucket import bucket
from tasks import ending, metrics, pilot, upkeep
from tasks.answers import look, submit
from tasks.app import sender
from tasks.courier import Courier
from tasks.memory import Memory
from tasks.remotes import choice
from tasks.remotes.choice import remote_of
from tools.errors import Expired, ToolError, Unavailable

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is due, when nobody calls; and between two heartbeats.
LOOK_S, BEAT_S = 1.0, 5.0

#: The fewest seconds between two looks however often somebody calls: at RunPod, and at all else.
SHORTEST_S, NEAR_S = 0.03, 0.1

#: Seconds between two rounds of upkeep, and when there was more to do than one round does.
CHORES_S, MORE_CHORES_S = 60.0, 5.0

#: Jobs that one watcher takes at once, and threads that see to them.
BATCH, THREADS = 64, 12

#: Something to see to, and what it is.
Due = tuple[str, Callable[[], None]]


def needed(job: Job, *, late: bool) -> Callable[[Job], None]:
    """Say what a due job needs. This table is the whole recovery of the house."""
    match job:
        case Job(status="pending") if late:
            return expire
        case Job(status="pending", blocked=True):
            return rewind  # its message was to come from the step before, and was lost
        case Job(status="pending"):
            return send  # its message was lost, or its hour has come
        case Job(status="processing", attempt=Attempt(remote_id=None)):
            return submit  # whoever started it died in the middle
        case Job(status="processing"):
            return look
        case _:
            return send  # it has ended, and what follows has not heard of it


def tend(job_id: UUID) -> None:
    """See to one due job."""
    journal.begin(job_id=job_id)
    with transaction() as session:
        job = life.lock(session, job_id)
        if job is None or job.settled_at is not None:
            return
        late = life.is_late(session, job)
        life.put_off(job)
    needed(job, late=late)(job)


def send(job: Job) -> None:
    """Send its message."""
    sender.send(job.id, job.tool, job.signature, "main" if job.status == "pending" else "resume", job.given)


def expire(job: Job) -> None:
    """End a job that was not started in time."""
    with ending.transition() as session:
        locked = life.lock(session, job.id)
        if locked is None or locked.status != "pending":
            return
        brought = locked.blocked
        life.end(session, locked, "expired", error=Expired().problem())
    if not brought:
        ending.send(locked)


def rewind(job: Job) -> None:
    """Send the steps before a blocked job again: each answers from its row, and Celery carries on from there."""
    with transaction() as session:
        before = life.reopen_upstream(session, job)
    if before:
        ending.restore_chord(before[0])
    for step in before:
        ending.send(step)


def stop(attempt: Attempt) -> None:
    """Have the remote stop an attempt that we ended: else it is paid for. Until that is sure, it is due again."""
    if remote_of(attempt).cancel(attempt):
        runs.stopped(attempt.id)


def main() -> None:
    """Watch until SIGTERM or SIGINT."""
    journal.configure()
    choice.check()
    over = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    metrics.serve(metrics.House())
    await_clock(over)
    if settings().endpoints:
        bucket()  # making its client takes half a second, and the first ends would each make one
    with ThreadPoolExecutor(THREADS, "tend") as pool:
        watch(over, pool)


def await_clock(over: Event) -> None:
    """Compare the clocks as soon as the database answers. Raises ClockWrong."""
    while not over.is_set():
        try:
            clock.check()
        except Unavailable:
            over.wait(LOOK_S)
        else:
            return


def watch(over: Event, pool: ThreadPoolExecutor) -> None:
    """Claim what is due and have it seen to; a slow one holds up nobody, and whatever fails is due again."""
    name, beaten, ear = f"{socket.gethostname()}:{os.getpid()}", 0.0, Ear()
    near, flight, courier = Near(pool), pilot.Pilot(), Courier()
    logger.info("watching as %s", name)
    while not over.is_set():
        try:
            if monotonic() - beaten > BEAT_S:
                watchers.beat(name)
                beaten = monotonic()
            again_s = near.go()
            again_s = min(again_s, courier.go())
            far = claim_far(flight.room) if flight.room > 0 else []
            flight.take(far)
        except Unavailable:  # that it is away was said once, by whoever found it out
            over.wait(LOOK_S)
            continue
        if not far and flight.room > 0:
            ear.wait(again_s)
        over.wait(SHORTEST_S)  # a crowd calls one by one, and is taken many at once
    courier.stop()
    flight.land()
    courier.land()


class Near:
    """What is seen to one by one, in a thread each: all but the attempts at RunPod."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool, self.chores, self.memory = pool, Chores(), Memory()
        self.busy: set[Future[None]] = set()
        self.next_at = monotonic()

    def go(self) -> float:
        """Have it seen to, unless that was done just now; gives the seconds after which to go again."""
        if (left_s := self.next_at - monotonic()) > 0:
            return left_s
        self.busy = {one for one in self.busy if not one.done()}
        room = BATCH - len(self.busy)
        claimed = [*(claim(room) if room > 0 else []), *self.chores.due(), *self.memory.due()]
        self.busy |= {self.pool.submit(see_to, *due) for due in claimed}
        self.next_at = monotonic() + NEAR_S
        return NEAR_S if claimed or room <= 0 else LOOK_S


def spare() -> None:
    """Send no job again whose message only waits in a long queue: in the order of the queue, it is yet to come."""
    if unsent.exist() and (first := sender.first_waiting("main")):
        unsent.put_off(first)


def claim(limit: int) -> list[Due]:
    """Claim what is due: attempts to be stopped, since they are paid for, and jobs."""
    spare()
    stops = [(f"the stop of {attempt.id}", partial(stop, attempt)) for attempt in runs.claim_stops(limit)]
    return [*stops, *((f"job {job_id}", partial(tend, job_id)) for job_id in life.claim_due(limit))]


def claim_far(limit: int) -> list[pilot.Due]:
    """Claim what is due at RunPod."""
    return [(job, since, needed(job, late=since.late)) for job, since in crowd.claim_due(limit)]


def see_to(what: str, do: Callable[[], None]) -> None:
    """See to one of them; what goes wrong with it must not end the watch over all the others."""
    try:
        do()
    except Unavailable as error:  # that it is away was said once; this one is due again, later
        logger.debug("%s could not be seen to: %s", what, error)
    except ToolError as error:
        logger.warning("%s could not be seen to: %s", what, error)
    except Exception:
        logger.exception("%s could not be seen to", what)


class Chores:
    """What is done at a slow pace, and never twice at once here."""

    def __init__(self) -> None:
        self.next_at = monotonic() + CHORES_S

    def due(self) -> list[Due]:
        """Give the chores, when it is time for them."""
        if monotonic() < self.next_at:
            return []
        self.next_at = inf
        return [("the upkeep", self.do)]

    def do(self) -> None:
        """Do a little; more of it soon if there is more."""
        pause_s = CHORES_S
        try:
            pause_s = MORE_CHORES_S if upkeep.tidy() else CHORES_S
        finally:
            self.next_at = monotonic() + pause_s


class Ear:
    """Hears when a job has become due; deaf, it only waits."""

    def __init__(self) -> None:
        self.connection: Any = None

    def wait(self, seconds: float) -> None:
        """Wait until something is due, at most so long."""
        with self.open() as connection:
            list(listen.wait(connection, seconds))

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Keep one connection for as long as it lives."""
        try:
            self.connection = self.connection or listen.connect(life.DUE_CHANNEL)
            yield self.connection
        except psycopg2.Error as error:
            logger.debug("cannot listen, only looking: %s", error)
            self.connection = None
            Event().wait(LOOK_S)
