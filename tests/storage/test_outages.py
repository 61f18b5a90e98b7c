"""A bucket that is away, stalled, or too busy: asked again within a budget, and then told as such."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from settings import settings
from storage import bucket as module
from storage.bucket import Bucket, bucket
from storage.door import take_archive
from tests import photos
from tests.cramped import cramped
from tests.gate import Gate, gated
from tests.storage.zips import Zipper
from tools.errors import DiskFull, StorageFailed, StorageRefused


def say(status: str, code: str) -> bytes:
    """Answer as S3 does when something is wrong with it."""
    body = f"<Error><Code>{code}</Code></Error>"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n{body}".encode()


SLOW_DOWN, BROKEN = say("503 Slow Down", "SlowDown"), say("500 Internal Server Error", "InternalError")

FEW_S = 6.0


@pytest.fixture
def gate(store: Bucket) -> Iterator[Gate]:
    """Put a gate before S3."""
    assert store
    with gated(int(str(settings().s3_endpoint_url).rsplit(":", 1)[1])) as gate:
        yield gate


@pytest.fixture
def behind(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Give the bucket by way of the gate, with a smaller budget."""
    monkeypatch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{gate.port}")
    monkeypatch.setattr(module, "READ_TIMEOUT_S", (FEW_S - 3) / module.ATTEMPTS)
    settings.cache_clear()
    yield bucket.__wrapped__()
    monkeypatch.undo()
    settings.cache_clear()


def test_the_budget_is_what_all_tries_take_together() -> None:
    tries_s = module.ATTEMPTS * (module.CONNECT_TIMEOUT_S + module.READ_TIMEOUT_S)
    assert tries_s + sum(range(module.ATTEMPTS)) <= module.BUDGET_S == 30
    known: Any = bucket()._client.meta.config
    assert known.retries["total_max_attempts"] == module.ATTEMPTS
    assert (known.connect_timeout, known.read_timeout) == (module.CONNECT_TIMEOUT_S, module.READ_TIMEOUT_S)


@pytest.mark.parametrize("answer", [SLOW_DOWN, BROKEN])
def test_a_server_that_fails_twice_is_asked_three_times(gate: Gate, behind: Bucket, answer: bytes) -> None:
    gate.say(answer, times=2)
    behind.put("uploads/kept.txt", b"kept")
    assert behind.read("uploads/kept.txt", 9) == b"kept"
    assert gate.left == 0


@pytest.mark.parametrize("way", ["refuse", "silence", "busy"])
def test_a_server_that_stays_away_is_told_as_such_within_the_budget(gate: Gate, behind: Bucket, way: str) -> None:
    ways: dict[str, Callable[[], None]] = {
        "refuse": gate.refuse, "silence": gate.silence, "busy": partial(gate.say, SLOW_DOWN, 99),
    }  # fmt: skip
    ways[way]()
    began = monotonic()
    with pytest.raises(StorageFailed) as failed:
        behind.head("uploads/x")
    assert monotonic() - began < FEW_S + 1
    assert (failed.value.code, failed.value.retryable) == ("storage_failed", True)


def test_a_bucket_that_refuses_us_is_not_worth_another_try(store: Bucket) -> None:
    with pytest.raises(StorageRefused) as refused:
        Bucket(store._client, f"nobodys-{uuid4()}").read("uploads/x", 1)
    assert refused.value.retryable is False


def test_a_dataset_that_there_is_no_room_for_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: Zipper
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    given = zipped(*((f"{n}.png", photos.encode(photos.take(n))) for n in range(6)))
    with cramped(4_000), pytest.raises(DiskFull, match="make room"):
        take_archive(given)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert take_archive(given).startswith("r2://")
