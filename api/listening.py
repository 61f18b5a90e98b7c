"""Hear from the database what happened, for all who wait in this process: by one connection."""

import logging
from collections import defaultdict
from collections.abc import Callable
from threading import Event, Lock, Thread

import psycopg2

from db import listen
from db.base import ping
from tools.errors import Unavailable

logger = logging.getLogger(__name__)

#: Seconds after which the listener looks whether the database is still there, for all who wait.
ASK_S = 0.3

#: Rings for somebody: quickly, and without asking anybody else.
Ring = Callable[[], None]


class Listening:
    """The bells of one process, and the one connection that listens for them all."""

    def __init__(self) -> None:
        self.bells: dict[str, set[Ring]] = defaultdict(set)
        self.lock = Lock()
        self.thread: Thread | None = None
        self.connected = False

    def add(self, name: str, ring: Ring) -> None:
        """Let a bell ring whenever something of this name is told of: a job's or flow's id, or `flow <id>`."""
        with self.lock:
            self.bells[name].add(ring)
            if self.thread is None:
                self.thread = Thread(target=self.hear, name="listener", daemon=True)
                self.thread.start()

    def remove(self, name: str, ring: Ring) -> None:
        """Take the bell away."""
        with self.lock:
            self.bells[name].discard(ring)
            if not self.bells[name]:
                del self.bells[name]

    def hear(self) -> None:
        """Listen for ever, and connect again when the database was away."""
        while True:
            try:
                connection = listen.connect(listen.JOBS_CHANNEL)
                self.connected = True
                self.ring_all()  # what was told meanwhile was not heard
                while True:
                    for name in listen.wait(connection, ASK_S):
                        self.ring(name)
                    self.ask()
            except (psycopg2.Error, OSError, Unavailable) as error:
                logger.debug("cannot listen, waiters only look: %s", error)
            except Exception:  # nobody begins this thread again, and all who wait depend on it
                logger.exception("cannot listen, waiters only look")
            self.connected = False
            self.ring_all()
            Event().wait(ASK_S)

    def ask(self) -> None:
        """Ask for a sign of life: a server that is silent does not close the connection. Raises Unavailable."""
        if self.bells:
            ping()

    def ring_all(self) -> None:
        """Wake everybody: whoever waits learns by looking that the database is away, or back."""
        with self.lock:
            for bells in self.bells.values():
                for ring in bells:
                    ring()

    def ring(self, name: str) -> None:
        """Wake those who wait for something."""
        with self.lock:
            for ring in self.bells.get(name, ()):
                ring()
