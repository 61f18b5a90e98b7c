"""Let callers wait for a job: woken by the database, holding none of its connections."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import BoundedSemaphore, Event, Lock, Thread
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg2

from db import listen, pages
from db.base import ping
from db.jobs import ENDED
from tools.errors import Unavailable

logger = logging.getLogger(__name__)

#: Callers that may wait at once; the next ones are told to poll.
MOST_WAITERS = 64

#: Seconds after which a waiter looks by himself: a notice may be lost while the listener reconnects.
LOOK_S = 2.0

#: Seconds after which the listener looks whether the database is still there, for all who wait.
ASK_S = 0.3

#: Reads what is waited for.
Read = Callable[[UUID], dict[str, Any]]


class Waiting:
    """The waiters of one process, and the one connection that listens for them all."""

    def __init__(self) -> None:
        self.places = BoundedSemaphore(MOST_WAITERS)
        self.bells: dict[str, set[Event]] = defaultdict(set)
        self.lock = Lock()
        self.listener: Thread | None = None
        self.listening = False

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
            bell.wait(min(left, LOOK_S if self.listening else ASK_S))

    @contextmanager
    def bell(self, job_id: str) -> Iterator[Event]:
        """Have a bell that rings whenever something happens to the job."""
        bell = Event()
        with self.lock:
            self.bells[job_id].add(bell)
            if self.listener is None:
                self.listener = Thread(target=self.hear, name="listener", daemon=True)
                self.listener.start()
        try:
            yield bell
        finally:
            with self.lock:
                self.bells[job_id].discard(bell)
                if not self.bells[job_id]:
                    del self.bells[job_id]

    def hear(self) -> None:
        """Listen for ever, and connect again when the database was away."""
        while True:
            try:
                connection = listen.connect(listen.JOBS_CHANNEL)
                self.listening = True
                while True:
                    for job_id in listen.wait(connection, ASK_S):
                        self.ring(job_id)
                    self.ask()
            except (psycopg2.Error, OSError, ValueError, Unavailable) as error:  # select() takes no number above 1023
                logger.debug("cannot listen, waiters only look: %s", error)
                self.listening = False
                self.ring_all()
                Event().wait(ASK_S)

    def ask(self) -> None:
        """Ask for a sign of life: a server that is silent does not close the connection. Raises Unavailable."""
        if self.bells:
            ping()

    def ring_all(self) -> None:
        """Wake everybody: whoever waits learns by looking that the database is away."""
        with self.lock:
            for bells in self.bells.values():
                for bell in bells:
                    bell.set()

    def ring(self, job_id: str) -> None:
        """Wake those who wait for a job."""
        with self.lock:
            for bell in self.bells.get(job_id, ()):
                bell.set()
