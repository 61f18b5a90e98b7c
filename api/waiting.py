"""Let callers wait for a job: woken by the database, holding none of its connections."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore, Event
from time import monotonic
from typing import Any
from uuid import UUID

from api.listening import ASK_S, Listening
from db import pages
from db.jobs import ENDED

#: Callers that may wait at once; the next ones are told to poll.
MOST_WAITERS = 64

#: Seconds after which a waiter looks by himself: a notice may be lost while the listener reconnects.
LOOK_S = 2.0

#: Reads what is waited for.
Read = Callable[[UUID], dict[str, Any]]


class Waiting:
    """The waiters of one process."""

    def __init__(self, listening: Listening) -> None:
        self.places = BoundedSemaphore(MOST_WAITERS)
        self.listening = listening

    def wait(self, job_id: UUID, seconds: float, read: Read = pages.read) -> dict[str, Any]:
        """Read a job, when it has ended or the time is over; at once if too many wait. Raises JobNotFound.

        With another `read`, the same is done for a flow.
        """
        if seconds <= 0 or not self.places.acquire(blocking=False):
            return read(job_id)
        try:
            with self.bell(str(job_id)) as bell:
                return self.wait_for_end(partial(read, job_id), bell, monotonic() + seconds)
        finally:
            self.places.release()

    def wait_for_end(self, read: Callable[[], dict[str, Any]], bell: Event, until: float) -> dict[str, Any]:
        """Read the job at each ring, until it has ended or the time is over; where nobody listens, look by oneself."""
        while True:
            bell.clear()
            job = read()
            left = until - monotonic()
            if job["status"] in ENDED or left <= 0:
                return job
            bell.wait(min(left, LOOK_S if self.listening.connected else ASK_S))

    @contextmanager
    def bell(self, job_id: str) -> Iterator[Event]:
        """Have a bell that rings whenever something happens to the job."""
        bell = Event()
        self.listening.add(job_id, bell.set)
        try:
            yield bell
        finally:
            self.listening.remove(job_id, bell.set)
