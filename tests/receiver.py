"""A receiver of webhooks on this machine: it keeps what it hears, and behaves as its path says."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lookout import watch

#: What a path answers: a status, and headers.
ANSWERS: dict[str, tuple[int, dict[str, str]]] = {
    "/ok": (200, {}), "/taken": (202, {}), "/fail": (500, {}), "/gone": (410, {}),
    "/busy": (429, {"Retry-After": "77"}), "/redirect": (307, {"Location": "/ok"}),
}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = 0.0

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Handler(BaseHTTPRequestHandler):
    server: "Listener"

    def do_POST(self) -> None:
        if self.path == "/deaf":  # it goes while the body comes
            self.reset()
            return
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # its sender was killed amid: half a request was not heard
            self.close_connection = True
            return
        watch.hear(f"what a receiver was told at {self.path}", self.headers.as_bytes() + body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.heard.append(Heard(self.path, headers, body, time.time()))
        path = self.server.instead.get(self.path, self.path)
        getattr(self, path.strip("/"), lambda: self.answer(*ANSWERS[path]))()

    def hang(self) -> None:
        self.server.release.wait(60)
        self.close_connection = True

    def drip(self) -> None:
        self.trickle(b"HTTP/1.1 200 OK\r\nX-Slow: ")

    def die(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 O")
        self.reset()

    def die_amid(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        self.reset()

    def trickle(self, begun: bytes) -> None:
        self.wfile.write(begun)
        while not self.server.release.wait(0.05):
            self.wfile.write(b"x")

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def finish(self) -> None:
        if self.connection.fileno() >= 0:
            super().finish()

    def log_message(self, *args: object) -> None:
        pass


class Listener(ThreadingHTTPServer):
    """A server that takes it in good part when its guest leaves."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.release = threading.Lock(), threading.Event()
        self.heard: list[Heard] = []
        self.instead: dict[str, str] = {}

    def handle_error(self, *_: object) -> None:
        pass


@dataclass
class Receiver:
    """It, while it listens."""

    listener: Listener

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.listener.server_port}"

    def url(self, path: str = "/ok") -> str:
        return f"http://{self.host}{path}"

    def heard(self, path: str | None = None) -> list[Heard]:
        """List what came, on any path or on one."""
        with self.listener.lock:
            return [one for one in self.listener.heard if path in {None, one.path}]

    def become(self, path: str, other: str) -> None:
        """Behave from now on as another path says."""
        self.listener.instead[path] = other


@contextmanager
def listening() -> Iterator[Receiver]:
    """Listen for as long as the block lasts."""
    listener = Listener()
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Receiver(listener)
    finally:
        listener.release.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
