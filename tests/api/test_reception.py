"""Who sends or takes a byte now and then gets no thread for long, and keeps nobody from being answered."""

import io
import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from threading import Event, Thread
from time import monotonic
from typing import Any, Self

import pytest
import requests
from PIL import Image

from api.reception import Line
from embedded.programs import gunicorn
from tests.api.asking import PATIENCE_S, serve
from tests.api.hasty import Hasty
from tests.conftest import Processes

#: Threads of the server, and of a crowd that wants more.
THREADS, CROWD = 4, 12

#: In which others are answered whatever the crowd does: with each of it as patient as with one, it would take 12 s.
SOON_S = 8.0

#: Seconds without a word after which somebody listens no more.
DEAF_S = 20.0

HEAD = b"POST /api/nap/async HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n"
BODY = HEAD + b"\r\n"

ANSWER = bytes(2**23)


@pytest.fixture(scope="module")
def hasty(database: str, s3: object, starter: Processes) -> str:  # noqa: ARG001 - they must run
    return serve(starter, options=("-k", "tests.api.hasty.Hasty", "--threads", str(THREADS)))


class Drip(Thread):
    """Somebody who sends the rest of a request byte by byte."""

    def __init__(self, url: str, begun: bytes) -> None:
        super().__init__(daemon=True)
        host, _, port = url.removeprefix("http://").partition(":")
        self.line = socket.create_connection((host, int(port)), timeout=DEAF_S)
        self.line.sendall(begun)
        self.over = Event()
        self.start()

    def run(self) -> None:
        """Go on until the other side has had enough."""
        while not self.over.wait(0.1):
            try:
                self.line.sendall(b"x")
            except OSError:
                return

    def hear(self) -> bytes:
        """Give all that is answered, until the other side hangs up or says nothing."""
        said = b""
        with suppress(OSError):  # it is reset, should it send on for long
            while more := self.line.recv(65536):
                said += more
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()
        self.line.close()


@pytest.mark.parametrize("begun", [HEAD + b"X-Drip: ", BODY], ids=["head", "body"])
def test_what_drips_is_refused_as_a_problem(hasty: str, begun: bytes) -> None:
    began = monotonic()
    with Drip(hasty, begun) as drip:
        head, _, body = drip.hear().decode().partition("\r\n\r\n")
    assert Hasty.patience_s <= monotonic() - began < SOON_S
    assert head.startswith("HTTP/1.1 408 ")
    assert "Content-Type: application/problem+json" in head
    problem = json.loads(body)
    assert (problem["code"], problem["status"], problem["retryable"]) == ("too_slow", 408, True)


CHUNKED = b"POST /api/nap/async HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nHost: "
OURS = CHUNKED + b"localhost\r\n\r\n"


@pytest.mark.parametrize(("sent", "status", "code"), [
    (OURS + b"zz\r\n{}\r\n0\r\n\r\n", 400, "bad_request"), (OURS + b"2\r\n{}xx0\r\n\r\n", 400, "bad_request"),
    (OURS + b"2\r\n{}\r\n0\r\nno header\r\n\r\n", 400, "bad_request"),
    (CHUNKED + b"evil.example\r\n\r\nzz\r\n", 400, "bad_request"), (b"HELLO\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: tea\r\n\r\n", 400, "bad_request"),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "address_too_long"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431, "head_too_large"),
], ids=["size", "end", "trailer", "answered", "nonsense", "expect", "coding", "long", "head"])  # fmt: skip
def test_what_is_no_request_is_refused_as_a_problem(hasty: str, sent: bytes, status: int, code: str) -> None:
    with Drip(hasty, sent) as drip:
        said = drip.hear().decode()
    assert said.count("\r\n\r\n") == 1  # one answer
    head, _, body = said.partition("\r\n\r\n")
    problem = json.loads(body)
    assert (int(head.split()[1]), problem["status"], problem["code"]) == (status, status, code)
    assert "Content-Type: application/problem+json" in head
    assert "X-Content-Type-Options: nosniff" in head


@pytest.mark.parametrize("begun", [b"GET /health HT", BODY], ids=["head", "body"])
def test_drips_that_hold_all_threads_keep_nobody_out(hasty: str, begun: bytes) -> None:
    with ExitStack() as crowd:
        drips = [crowd.enter_context(Drip(hasty, begun)) for _ in range(CROWD)]
        began = monotonic()
        assert requests.get(f"{hasty}/health", timeout=PATIENCE_S).status_code == 200
        assert monotonic() - began < SOON_S
        assert all(b" 408 " in drip.hear() for drip in drips)


def test_who_does_not_hang_up_holds_up_nobody(hasty: str) -> None:
    with ExitStack() as crowd:
        asked = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        began = monotonic()
        lines = [crowd.enter_context(Drip(hasty, asked)) for _ in range(CROWD)]
        assert all(line.hear().startswith(b"HTTP/1.1 200 ") for line in lines)  # and none of them goes away
        assert requests.get(f"{hasty}/health", timeout=PATIENCE_S).status_code == 200
        assert monotonic() - began < SOON_S


def test_a_slow_line_that_goes_on_is_heard_out(hasty: str) -> None:
    picture = noise()

    def send() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        for at in range(0, len(picture), 8192):
            Event().wait(0.12)  # the pace of a line that carries four times what it must
            yield picture[at : at + 8192]
        yield b"\r\n--b--\r\n"

    began, kind = monotonic(), {"Content-Type": "multipart/form-data; boundary=b"}
    answer = requests.post(f"{hasty}/api/uploads", data=send(), headers=kind, timeout=PATIENCE_S)
    assert monotonic() - began > Hasty.patience_s
    assert answer.status_code == 201, answer.text


def noise() -> bytes:
    """Make a PNG that is as large as its pixels."""
    out, pixels = io.BytesIO(), random.Random(1).randbytes(320 * 320 * 3)
    Image.frombytes("RGB", (320, 320), pixels).save(out, "PNG")
    return out.getvalue()


def test_who_takes_no_answer_is_left() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # what is on its way counts as taken
    with Line(ours, lambda: 0.3) as line, theirs:
        began = monotonic()
        with pytest.raises(BrokenPipeError):
            line.sendall(ANSWER)
        assert monotonic() - began < SOON_S


def test_who_takes_an_answer_gets_all_of_it() -> None:
    ours, theirs = socket.socketpair()
    heard: list[Any] = []

    def hear() -> None:
        with theirs:
            while more := theirs.recv(65536):
                heard.append(more)

    taker = Thread(target=hear)
    taker.start()
    with Line(ours, lambda: 0.3) as line:
        line.sendall(ANSWER)
        line.part()
    taker.join()
    assert b"".join(heard) == ANSWER


def test_the_house_and_its_image_serve_by_it(pytestconfig: pytest.Config) -> None:
    served = "--worker-class=api.reception.Reception"
    assert served in gunicorn(5000)
    assert served in (pytestconfig.rootpath / "deploy" / "Dockerfile").read_text()
