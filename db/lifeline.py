"""The line to PostgreSQL: whoever waits for a server that is silent is let go, and nobody else begins to wait.

A server that ends says so to everybody, by its sockets. One that is frozen, or behind a dead network, says nothing, and
libpq would wait for it for ever: it knows no timeout for an answer.
"""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Any, NoReturn

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from outage import Outage
from settings import settings
from tools.errors import Unavailable

#: Seconds after which somebody who waits makes us ask, and that the server has to answer a new caller. Together they
#: stay well within two seconds, in which the API is to say that the database is away.
ASK_S, ANSWER_S = 0.3, 0.9

#: Seconds between two looks at who waits.
LOOK_S = 0.1

#: Seconds that somebody waits for a place in the pool, and after which he looks up.
PLACE_S, LOOK_UP_S = 5.0, 0.2

SILENT = "The database does not answer: try again soon."


@dataclass
class Held:
    """A connection that somebody works with: asked for at `ask_at`, and each time after twice as long."""

    connection: Any
    ask_at: float
    patience_s: float = ASK_S


class Lifeline:
    """Watches over the connections of this process that are in use."""

    def __init__(self) -> None:
        self.outage = Outage("The database", "requests get a 503, and what is due waits until it is back")
        self.begin()
        os.register_at_fork(after_in_child=self.begin)

    def begin(self) -> None:
        """Begin, also afresh in a child, which has neither the threads nor the connections of its parent."""
        self.held: dict[int, Held] = {}
        self.lock, self.asking, self.called = Lock(), Lock(), Event()
        self.silent, self.heard_at = False, 0.0
        self.thread: Thread | None = None
        self.outage.since = None

    def watch(self, engine: Engine) -> None:
        """Watch over the connections of an engine."""
        event.listen(engine, "do_connect", lambda *_: self.must_answer())
        event.listen(engine, "checkout", lambda connection, record, _proxy: self.hold(id(record), connection))
        for name in ("checkin", "invalidate", "soft_invalidate", "close"):
            event.listen(engine, name, lambda _connection, record, *_: self.let_go(id(record)))

    def hold(self, key: int, connection: Any) -> None:
        """Begin to watch over one connection."""
        self.held[key] = Held(connection, monotonic() + ASK_S)
        if not self.called.is_set():
            self.called.set()
            self.start()

    @contextmanager
    def holding(self, connection: Any) -> Iterator[None]:
        """Watch over a connection that is no engine's."""
        self.hold(id(connection), connection)
        try:
            yield
        finally:
            self.let_go(id(connection))

    def start(self) -> None:
        """Start the thread that looks, once."""
        with self.lock:
            if self.thread is None:
                self.thread = Thread(target=self.look, name="lifeline", daemon=True)
                self.thread.start()

    def let_go(self, key: int) -> None:
        """Watch over it no more. By the lock, a connection is never cut once its file number may be another's."""
        with self.lock:
            self.held.pop(key, None)

    def look(self) -> None:
        """Look for ever; sleep while nobody waits."""
        while True:
            if not self.held and not self.silent:
                self.called.clear()
                if not self.held:
                    self.called.wait()
            sleep(LOOK_S)
            now = monotonic()
            if self.silent or any(one.ask_at < now for one in list(self.held.values())):
                self.ask()

    def must_answer(self) -> None:
        """Ask before a connection is opened, as libpq would wait for it for two seconds at least.

        Raises psycopg2.OperationalError: the server is silent.
        """
        if self.silent or not self.ask():
            refuse()

    def ask(self) -> bool:
        """Find out whether the server answers, unless somebody found it out meanwhile."""
        asked_at = monotonic()
        with self.asking:
            if self.heard_at < asked_at:
                self.silent = not answers(ANSWER_S)
                self.heard_at = monotonic()
                self.wait_longer() if not self.silent else self.give_up()
        return not self.silent

    def give_up(self) -> None:
        """Let everybody go, and see to it that somebody goes on asking."""
        self.outage.begin("it does not answer")
        self.called.set()
        self.start()
        with self.lock:
            for one in self.held.values():
                if not one.connection.closed:
                    cut(one.connection.fileno())

    def wait_longer(self) -> None:
        """Let those wait on whose statement only takes its time."""
        for one in list(self.held.values()):
            if one.ask_at < self.heard_at:
                one.patience_s *= 2
                one.ask_at = self.heard_at + one.patience_s


def cut(number: int) -> None:
    """Shut a socket down that another thread waits on."""
    with socket.socket(fileno=os.dup(number)) as twin:
        try:
            twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was quicker


def refuse() -> NoReturn:
    """Say that nobody answers, as libpq would."""
    raise psycopg2.OperationalError(SILENT)


def answers(seconds: float) -> bool:
    """Tell whether the server says anything to a new caller in so many seconds, be it no."""
    until, connection = monotonic() + seconds, None
    try:
        connection = psycopg2.connect(address(), async_=1)
        while (state := connection.poll()) != POLL_OK:
            quiet = select.poll()
            quiet.register(connection, select.POLLIN if state == POLL_READ else select.POLLOUT)
            if not quiet.poll(max(0.0, until - monotonic()) * 1000):
                return False
    except psycopg2.Error:
        return True
    finally:
        if connection is not None:
            connection.close()
    return True


def address() -> str:
    """Give the address of the database as libpq takes it."""
    return (
        make_url(settings().database_url.get_secret_value())
        .set(drivername="postgresql")
        .render_as_string(hide_password=False)
    )


lifeline = Lifeline()


def must_be_there() -> None:
    """Refuse at once while the server is silent. Raises Unavailable."""
    if lifeline.silent:
        raise Unavailable(SILENT)


class Places(QueuePool):
    """A pool whose waiters look up now and then: where nobody gets a connection, none is ever given back to them."""

    def _do_get(self) -> ConnectionPoolEntry:
        until = monotonic() + PLACE_S
        while True:
            try:
                return super()._do_get()
            except PoolTimeout:
                if lifeline.silent or monotonic() > until:
                    raise
