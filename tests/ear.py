"""Somebody who listens to a stream of events, by hand: he can be cut off at any byte, and be slow."""

import json
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit


class Ear:
    """What came over one connection; what did not come whole is not heard."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.frames: list[dict[str, Any]] = []
        self.pings = 0
        #: Whether the other side said that this is all.
        self.whole = False
        self.raw = self.text = b""

    @property
    def last(self) -> int | None:
        """The id after which to go on."""
        return next((frame["id"] for frame in reversed(self.frames) if frame["id"] is not None), None)

    @property
    def ids(self) -> list[int]:
        """The events that were heard, without snapshots."""
        return [frame["id"] for frame in self.frames if frame["event"] != "snapshot"]

    @property
    def ended(self) -> bool:
        """Whether the last of all was heard."""
        return bool(self.frames) and bool(self.frames[-1]["data"]["ended"])

    def hear(self, piece: bytes) -> None:
        """Take in some bytes."""
        self.raw += piece
        if not self.status and b"\r\n\r\n" in self.raw:
            head, _, self.raw = self.raw.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            self.status = int(first.split()[1])
            self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if self.status:
            self.take_chunks() if self.headers.get("transfer-encoding") == "chunked" else self.take_all()
            *events, self.text = self.text.split(b"\n\n")
            for event in events:
                self.understand(event.decode())

    def take_all(self) -> None:
        """Take the body as it comes."""
        self.text, self.raw = self.text + self.raw, b""

    def take_chunks(self) -> None:
        """Take the chunks that are whole."""
        while b"\r\n" in self.raw and not self.whole:
            size, _, rest = self.raw.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self.text, self.raw, self.whole = self.text + rest[:length], rest[length + 2 :], length == 0

    def understand(self, event: str) -> None:
        """Read an event as browsers do."""
        fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
        self.pings += event.startswith(": ping")
        if "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            self.frames.append({"id": number, "event": fields["event"], "data": json.loads(fields["data"])})


def ask_for(path: str, last: int | None = None, version: str = "1.1") -> bytes:
    """Write down what asks for a stream."""
    after = f"Last-Event-ID: {last}\r\n" if last is not None else ""
    return f"GET {path} HTTP/{version}\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{after}\r\n".encode()


def call(url: str, last: int | None = None, *, version: str = "1.1", receive: int = 0) -> socket.socket:
    """Ask for a stream, and hear nothing yet; with `receive`, the connection takes no more than so many bytes."""
    where = urlsplit(url)
    line = socket.socket()
    if receive:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    line.settimeout(30)
    line.connect((where.hostname, where.port))
    line.sendall(ask_for(where.path, last, version))
    return line


def listen(
    url: str, last: int | None = None, seconds: float = 60, *, enough: Callable[[Ear], object] = lambda _: False,
    rude: bool = False, version: str = "1.1",
) -> Ear:  # fmt: skip
    """Listen until the stream ends, it is enough, or the time is over; then hang up, or let the network break."""
    ear = Ear()
    with call(url, last, version=version) as line:
        hear_out(line, ear, seconds, enough)
        if rude:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return ear


def hear_out(
    line: socket.socket, ear: Ear, seconds: float = 60, enough: Callable[[Ear], object] = lambda _: False
) -> None:
    """Listen over a connection until it ends, it is enough, or the time is over."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0 and not enough(ear):
        line.settimeout(left)
        try:
            piece = line.recv(65536)
        except OSError:  # its time is over, or the other side was killed
            return
        if not piece:
            return
        ear.hear(piece)
