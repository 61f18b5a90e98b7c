"""A faked net for the tests of the safe fetch: a DNS, a canary at connect(), and a real server behind one address."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from storage.fetch import MAX_BYTES
from tests import photos
from tools.errors import ToolError, UrlBlocked

PUBLIC = "93.184.216.34"
BOMB = gzip.compress(bytes(10 * MAX_BYTES))
LOCATIONS = {
    "/to-private": "http://10.0.0.5/x.png",
    "/to-metadata": "http://169.254.169.254/latest/meta-data/",
    "/to-file": "file:///etc/passwd",
    "/to-name": "http://private.example/x.png",
    "/to-tab": "http://good.example/\tok",
    "/to-port": "http://good.example:8080/ok",
    "/loop": "/loop",
    "/hop1": "/hop2",
    "/hop2": "http://good.example/hop3",
    "/hop3": "/ok",
    "/hop0": "/hop1",
}
REST = threading.Event()  # never set: its wait is the pace of a slow server


class Stranger(BaseHTTPRequestHandler):
    """Somebody's server."""

    def do_GET(self) -> None:
        if self.path in LOCATIONS:
            self.answer(302, b"", Location=LOCATIONS[self.path])
        else:
            getattr(self, self.path.strip("/").partition(".")[0], self.missing)()

    def ok(self) -> None:
        self.answer(200, b"fine")

    def photo(self) -> None:
        self.answer(200, photos.encode(photos.take(int(self.path.rpartition(".")[2]))))

    def missing(self) -> None:
        self.answer(404, b"")

    def html(self) -> None:
        self.answer(200, b"<html><script>alert(1)</script></html>")

    def bomb(self) -> None:
        self.answer(200, BOMB, **{"Content-Encoding": "gzip"})

    def packed(self) -> None:
        self.answer(200, gzip.compress(b"fine"), **{"Content-Encoding": "gzip"})

    def short(self) -> None:
        self.answer(200, b"fine", **{"Content-Length": "1000"})

    def lying(self) -> None:
        self.answer(200, b"", **{"Content-Length": "5"})

    def endless(self) -> None:
        self.answer(200, b"")
        while True:
            self.wfile.write(bytes(2**20))

    def drip(self) -> None:
        self.answer(200, b"", **{"Content-Length": "1000"})
        self.trickle()

    def drip_head(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        self.trickle()

    def trickle(self) -> None:
        while True:
            self.wfile.write(b"x")
            REST.wait(0.05)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server that takes it in good part when its guest leaves."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture(name="port", scope="module")
def run_stranger() -> Iterator[int]:
    with serving(Server(("127.0.0.1", 0), Stranger)) as port:
        yield port


class serving:  # noqa: N801  # reads as the verb it is
    """Serve for as long as the block lasts."""

    def __init__(self, server: Server) -> None:
        self.server, self.thread = server, threading.Thread(target=server.serve_forever, args=(0.01,))

    def __enter__(self) -> int:
        self.thread.start()
        return self.server.server_port

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Internet:
    """The faked net: names, and who was dialled. Only PUBLIC answers, with the test's own server behind it."""

    def __init__(self) -> None:
        self.port = 0
        self.dialled: list[str] = []
        self.asked: list[str] = []
        #: Who is no stranger, such as the test's own bucket.
        self.at_home: set[str] = set()
        self.names: dict[str, list[list[str]]] = {
            "good.example": [[PUBLIC]],
            "private.example": [["10.0.0.5"]],
            "mixed.example": [[PUBLIC, "127.0.0.1"]],
            "rebinding.example": [[PUBLIC], ["127.0.0.1"]],
            "localhost": [["127.0.0.1"]],
            "six.example": [["fd00::1"]],
        }

    def look_up(self, host: str, port: Any, *_: Any) -> list[Any]:
        """Be DNS. Numbers are read as the C library reads them: 127.1, 0x7f000001 and so on."""
        name = host.rstrip(".")
        self.asked.append(name)
        if name not in self.names:
            return REAL_LOOK_UP(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        answers = self.names[name]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(self.family(ip), socket.SOCK_STREAM, 6, "", (ip, port or 0)) for ip in found]

    def connect(self, sock: socket.socket, address: Any) -> None:
        """Be the canary: note who is dialled, and let only the public one answer."""
        if address[0] in self.at_home:
            REAL_CONNECT(sock, address)
            return
        self.dialled.append(address[0])
        if address[0] != PUBLIC:
            raise ConnectionRefusedError(address)
        REAL_CONNECT(sock, ("127.0.0.1", self.port))

    @staticmethod
    def family(ip: str) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in ip else socket.AF_INET


REAL_LOOK_UP = socket.getaddrinfo
REAL_CONNECT = socket.socket.connect


@pytest.fixture(name="internet")
def fake_internet(port: int, monkeypatch: pytest.MonkeyPatch) -> Internet:
    internet = Internet()
    internet.port = port
    monkeypatch.setattr(socket, "getaddrinfo", internet.look_up)
    monkeypatch.setattr(socket.socket, "connect", lambda sock, to: internet.connect(sock, to))  # noqa: PLW0108  # only a function becomes a method
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    return internet


@pytest.fixture(name="certificate", scope="module")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a key and certificate of good.example, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    pem = tmp_path_factory.mktemp("tls") / "good.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=good.example", "-addext", "subjectAltName=DNS:good.example",
         "-keyout", pem, "-out", pem.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    pem.write_text(pem.read_text() + pem.with_suffix(".crt").read_text())
    return pem


@pytest.fixture(name="tls")
def run_tls(internet: Internet, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = Server(("127.0.0.1", 0), Stranger)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate.with_suffix(".crt")))
    with serving(server) as internet.port:
        yield


def refused(call: Callable[[], object], error: type[ToolError] = UrlBlocked) -> str:
    """Assert that a call is refused with a sentence that says what to do, and give it."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert ":" in caught.value.detail or caught.value.detail.startswith(("Give", "Leave"))
    assert caught.value.detail.endswith(".")
    return caught.value.detail


def no_fetch_goes_on() -> None:
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join(2)
            assert not thread.is_alive()
