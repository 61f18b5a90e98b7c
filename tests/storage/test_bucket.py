"""The bucket, on a real S3 server."""

import hashlib
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import GeneratorType

import pytest
import requests

from settings import settings
from storage.bucket import MULTIPART_BYTES, Bucket, Stored, bucket
from tests import canaries
from tools.errors import FileNotFound, StorageFailed, TooLarge

TEXT = b"0123456789"


@pytest.fixture(name="text")
def put_text(store: Bucket) -> str:
    return store.put("uploads/ten.txt", TEXT, content_type="text/plain").key


def test_what_is_put_is_there_with_its_hash_and_type(store: Bucket) -> None:
    stored = store.put("generated/a.png", b"abc")
    assert stored == Stored("generated/a.png", 3, hashlib.sha256(b"abc").hexdigest(), "image/png")
    assert store.head("generated/a.png") == stored
    assert store.read("generated/a.png", 3) == b"abc"


def test_a_file_that_somebody_else_put_has_no_hash(store: Bucket) -> None:
    store._client.put_object(Bucket=store.name, Key="uploads/foreign", Body=TEXT, ContentType="text/plain")
    assert store.head("uploads/foreign") == Stored("uploads/foreign", 10, None, "text/plain")


def test_a_large_file_goes_in_parts_and_comes_back_whole(store: Bucket, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(hashlib.shake_256(b"large").digest(MULTIPART_BYTES + 12345))
    stored = store.put("models/large", given)
    got = store.download("models/large", tmp_path / "got")
    assert hashlib.sha256(got.read_bytes()).hexdigest() == stored.sha256
    assert stored == store.head("models/large")
    found = store._client.head_object(Bucket=store.name, Key="models/large")
    assert found["ETag"].endswith('-2"')  # two parts


def test_an_empty_file_is_a_file(store: Bucket) -> None:
    store.put("uploads/empty", b"")
    assert store.read("uploads/empty", 0) == b""
    assert b"".join(store.open("uploads/empty").body) == b""


def test_one_of_many_writers_of_an_absent_key_wins(store: Bucket) -> None:
    store.delete("claims/one")

    def claim(name: int) -> int | None:
        try:
            store.put("claims/one", str(name).encode(), if_absent=True)
        except FileExistsError:
            return None
        return name

    with ThreadPoolExecutor(4) as pool:
        winners = [name for name in pool.map(claim, range(4)) if name is not None]
    assert [store.read("claims/one", 9)] == [str(name).encode() for name in winners]


def test_a_missing_key_is_told_as_such(store: Bucket, tmp_path: Path) -> None:
    assert store.head("uploads/none") is None
    for call in (
        lambda: store.read("uploads/none", 1),
        lambda: store.open("uploads/none"),
        lambda: store.download("uploads/none", tmp_path / "none"),
    ):
        with pytest.raises(FileNotFound, match=r"uploads/none: check"):
            call()
    assert list(tmp_path.iterdir()) == []
    store.delete("uploads/none")


def test_more_than_asked_is_not_read(store: Bucket, text: str) -> None:
    assert store.read(text, 10) == TEXT
    with pytest.raises(TooLarge, match="smaller"):
        store.read(text, 9)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (None, (200, None, TEXT)),
        ("bytes=2-4", (206, "bytes 2-4/10", b"234")),
        ("bytes=7-", (206, "bytes 7-9/10", b"789")),
        ("bytes=-3", (206, "bytes 7-9/10", b"789")),
        ("bytes=0-999", (206, "bytes 0-9/10", TEXT)),
        ("bytes=10-", (416, "bytes */10", b"")),
        ("bytes=0-1,3-4", (416, None, b"")),
        ("bytes=" + ",".join(["0-1"] * 1000), (416, None, b"")),
        ("bytes=a-b", (200, None, TEXT)),
        ("pages=1-2", (200, None, TEXT)),
        ("bytes=0-1\r\nX: y", (200, None, TEXT)),
    ],
)
def test_a_range_is_served_as_a_browser_wants_it(
    store: Bucket, text: str, asked: str | None, answer: tuple[int, str | None, bytes]
) -> None:
    opened = store.open(text, asked)
    body = b"".join(opened.body)
    assert (opened.status, opened.headers.get("Content-Range"), body) == answer
    assert opened.headers["Accept-Ranges"] == "bytes"
    if opened.status != 416:
        assert opened.headers["Content-Length"] == str(len(body))
        assert opened.headers["Content-Type"] == "text/plain"


def test_a_reader_who_leaves_early_gives_the_connection_back(store: Bucket) -> None:
    store.put("generated/film.mp4", bytes(2**20))
    body = store.open("generated/film.mp4").body
    assert isinstance(body, GeneratorType)
    next(body)
    assert body.gi_frame is not None
    stream = body.gi_frame.f_locals["body"]._raw_stream
    assert not stream.closed
    body.close()
    assert stream.closed


def test_a_presigned_url_reads_one_key_and_nothing_else(store: Bucket, text: str) -> None:
    url = store.presign_get(text, 60)
    assert requests.get(url, timeout=10).content == TEXT
    store.put("uploads/other.txt", b"secret")
    assert requests.get(url.replace("ten.txt", "other.txt"), timeout=10).status_code == 403


def test_a_deleted_file_is_gone(store: Bucket) -> None:
    store.put("uploads/short-lived", TEXT)
    store.delete("uploads/short-lived")
    assert store.head("uploads/short-lived") is None


def test_a_missing_bucket_is_named_and_can_be_made(store: Bucket) -> None:
    other = Bucket(store._client, "not-there-yet")
    with pytest.raises(StorageFailed, match="no bucket not-there-yet"):
        other.ping()
    with pytest.raises(StorageFailed, match="NoSuchBucket"):
        other.read("uploads/x", 1)
    other.ensure()
    other.ensure()
    other.ping()


def at(endpoint: str, monkeypatch: pytest.MonkeyPatch, secret: str = "") -> Bucket:
    """Make a bucket of other settings."""
    monkeypatch.setenv("S3_ENDPOINT_URL", endpoint)
    if secret:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setattr("storage.bucket.ATTEMPTS", 1)
    settings.cache_clear()
    made: Bucket = bucket.__wrapped__()
    monkeypatch.undo()
    settings.cache_clear()
    return made


def test_a_server_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = at(f"http://127.0.0.1:{closed.getsockname()[1]}", monkeypatch)
    for call in (away.ping, lambda: away.put("uploads/x", b"x"), lambda: away.download("uploads/x", tmp_path / "x")):
        with pytest.raises(StorageFailed, match="try again") as failed:
            call()
        assert failed.value.retryable
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_secret_is_told_as_such(store: Bucket, s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("uploads/x", b"x")
    with pytest.raises(StorageFailed, match="403"):
        at(s3["S3_ENDPOINT_URL"], monkeypatch, secret=canaries.secret("wrong")).head("uploads/x")


class Ill(BaseHTTPRequestHandler):
    """An S3 server that breaks off in the middle, or answers with 503."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(name="ill")
def run_ill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ill) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield at(f"http://127.0.0.1:{server.server_port}", monkeypatch)
        server.shutdown()
        thread.join()


def test_a_server_that_is_ill_is_told_as_such(ill: Bucket) -> None:
    with pytest.raises(StorageFailed, match="503"):
        ill.put("uploads/x", b"x")
    with pytest.raises(StorageFailed):
        ill.read("uploads/x", 1000)
    with pytest.raises(StorageFailed):
        b"".join(ill.open("uploads/x").body)
