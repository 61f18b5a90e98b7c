"""Receive requests: gunicorn's threaded worker, which lets nobody hold a thread by sending or taking slowly."""

import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from errno import EPIPE
from http import HTTPStatus
from time import monotonic
from typing import Any

from gunicorn.http.errors import (  # type: ignore[import-untyped]  # it has no types
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    ParseException,
)
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]  # the same

from api.manners import HEADERS
from api.problems import TooSlow, name_unreadable, status_of, write
from tools.errors import ToolError

#: Seconds for which we wait for a caller in all, and bytes that give a second more: what a line has to carry.
PATIENCE_S, SLOWEST = 30.0, 16 * 1024

#: The same while others wait for a thread.
HASTE_S = 5.0

#: Seconds after which somebody who waits looks whether others do.
STEP_S = 1.0

#: Seconds that a caller has to hear us out once we have hung up, and bytes that it may still send.
GOODBYE_S, MOST_LEFT = 2.0, 64 * 1024

#: How a line is closed: at once, by a reset; or as usual.
RESET, FAREWELL = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)


class Line(socket.socket):
    """The connection of a caller. What counts is how long we wait for it: a house that is slow itself blames nobody."""

    def __init__(self, taken: socket.socket, patience: Callable[[], float]) -> None:
        super().__init__(taken.family, taken.type, taken.proto, taken.detach())
        self.patience = patience
        self.begin()

    def begin(self) -> None:
        """Begin with a request."""
        self.moved, self.waited_s = 0, 0.0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Read what has come, or wait for it. Raises TooSlow."""
        if self.gettimeout() is not None:  # whoever reads bounds it already
            return super().recv(size, flags)
        while True:
            try:
                data = super().recv(size, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.wait(select.POLLIN)
            else:
                self.moved += len(data)
                return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all, or as much as is taken in time: then the caller counts as gone, by a BrokenPipeError."""
        left = memoryview(data)
        while left:
            try:
                sent = super().send(left, flags | socket.MSG_DONTWAIT)
            except BlockingIOError:
                try:
                    self.wait(select.POLLOUT)
                except TooSlow:
                    raise BrokenPipeError(EPIPE, "the caller takes its answer too slowly") from None
            else:
                self.moved += sent
                left = left[sent:]

    def wait(self, what: int) -> None:
        """Wait until there may be something to do, for a step at most. Raises TooSlow."""
        left = self.patience() + self.moved / SLOWEST - self.waited_s
        if left <= 0:
            raise TooSlow
        began, poll = monotonic(), select.poll()
        poll.register(self, what)
        poll.poll(min(left, STEP_S) * 1000)
        self.waited_s += monotonic() - began

    def part(self, goodbye_s: float = GOODBYE_S) -> None:
        """Hang up, and let the caller hear all of what was said before: a reset would take it from him.

        Who still has not hung up then is told by one: else he would try to send on for a minute.
        """
        with suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.shutdown(socket.SHUT_WR)
            until, left = monotonic() + goodbye_s, MOST_LEFT
            while left > 0 and (patience := until - monotonic()) > 0:
                self.settimeout(patience)
                if not (data := self.recv(4096)):
                    self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FAREWELL)
                    break
                left -= len(data)
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class Reception(ThreadWorker):  # type: ignore[misc]  # it has no types
    """Gunicorn's worker: whoever waits for a caller is one of its threads, never the loop that all depend on."""

    patience_s, haste_s, goodbye_s = PATIENCE_S, HASTE_S, GOODBYE_S

    def enqueue_req(self, conn: TConn) -> None:
        """Look after a connection from its first request on; one with TLS of gunicorn's own is left to it."""
        if type(conn.sock) is socket.socket:
            conn.sock = Line(conn.sock, self.patience)
        super().enqueue_req(conn)

    def patience(self) -> float:
        """Say how long a caller is waited for: less, if more than we have threads for want one."""
        idle = len(self.keepalived_conns) + len(self.pending_conns)
        return self.haste_s if self.nr_conns - idle > self.cfg.threads else self.patience_s

    def handle(self, conn: TConn) -> object:
        """Answer one request. A line that ends is parted from here: gunicorn's loop would wait for each."""
        line = conn.sock
        if not isinstance(line, Line):
            return super().handle(conn)
        line.begin()
        kept = super().handle(conn)
        if not kept:
            line.part(self.goodbye_s)
        return kept

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer for what is no request, or was not there in time, as the app does for all else."""
        ours = isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName)
        if ours or not isinstance(exc, TooSlow | ParseException):
            super().handle_error(req, client, addr, exc)
            return
        error = exc if isinstance(exc, TooSlow) else name_unreadable(exc)
        self.log.info("refused a request from %s: %s", addr[0] if addr else "a socket", error)
        if req is None:  # else it has been answered, and what it sent after that is no second request
            client.sendall(refuse(error))


def refuse(error: ToolError) -> bytes:
    """Write the whole answer of an error to what never became a request."""
    status = status_of(type(error))
    body = write(status, error.problem(), "") + "\n"
    about = {"Content-Type": "application/problem+json", "Content-Length": str(len(body)), "Connection": "close"}
    head = (f"{name}: {value}" for name, value in (about | HEADERS).items())
    return "\r\n".join([f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *head, "", body]).encode()
