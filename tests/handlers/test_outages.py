"""What a handler has made is kept with patience; where that is in vain, the job learns why, and can be asked again."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from gpu_handlers import entry
from gpu_handlers.attempt import download, run_attempt
from settings import settings
from storage.bucket import Bucket, bucket
from tests import nap
from tests.canaries import secret
from tests.conftest import wait_until
from tests.cramped import cramped
from tests.gate import Gate, gated

PATIENCE_S = 6


@pytest.fixture
def gate(s3: object) -> Iterator[Gate]:
    """Put a gate before S3."""
    assert s3
    with gated(int(str(settings().s3_endpoint_url).rsplit(":", 1)[1])) as gate:
        yield gate


@pytest.fixture(autouse=True)
def shelf(gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """Let handlers go to the bucket by way of the gate, with a little patience; and leave nothing on disk."""
    monkeypatch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{gate.port}")
    monkeypatch.setenv("S3_PATIENCE_S", str(PATIENCE_S))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    settings.cache_clear()
    bucket.cache_clear()
    yield bucket()
    assert list((tmp_path / "scratch").iterdir()) == []
    monkeypatch.undo()
    settings.cache_clear()
    bucket.cache_clear()


def run(name: str, gate: Gate | None = None, **params: Any) -> Any:
    """Run nap once; with a gate, it is shut as soon as the handler is at work."""
    task = {"job_id": "j", "attempt_id": f"outages-{name}", "tool": nap.NAP.name, "params": params}

    def report(_fraction: float, stage: str) -> None:
        if gate and stage == "verifying":
            gate.refuse()

    return run_attempt(task, report=report, stop=threading.Event(), keep=lambda _outcome: True)


def test_a_finished_picture_waits_for_the_bucket(gate: Gate, shelf: Bucket) -> None:
    opener = threading.Thread(target=open_later, args=(gate,))
    opener.start()
    outcome = run("kept", gate)
    opener.join()
    assert outcome.error is None
    assert shelf.head(outcome.file.r2_path.removeprefix("r2://packshot/"))


def open_later(gate: Gate) -> None:
    """Let the bucket be away for longer than one call's tries take."""
    wait_until(lambda: gate.listening is None)
    threading.Event().wait(PATIENCE_S / 2)
    gate.open()


def test_a_job_begins_as_soon_as_the_bucket_is_back(gate: Gate) -> None:
    gate.refuse()
    opener = threading.Thread(target=open_later, args=(gate,))
    opener.start()
    task = {"job_id": "j", "attempt_id": f"outages-{uuid4()}", "tool": nap.NAP.name, "params": {}}
    said = entry.attend({"id": "r1", "input": task}, threading.Event(), lambda *_: None)
    opener.join()
    assert said.get("file"), said


def test_a_photo_is_fetched_as_soon_as_the_bucket_is_back(gate: Gate, shelf: Bucket, tmp_path: Path) -> None:
    shelf.put("outages/photo.png", b"a photo")
    gate.refuse()
    opener = threading.Thread(target=open_later, args=(gate,))
    opener.start()
    fetched = download(threading.Event(), "r2://packshot/outages/photo.png", tmp_path / "photo.png")
    opener.join()
    assert fetched.read_bytes() == b"a photo"


def test_in_the_end_the_job_learns_that_the_bucket_was_away(gate: Gate) -> None:
    began = monotonic()
    outcome = run("lost", gate)
    assert PATIENCE_S / 2 < monotonic() - began < PATIENCE_S + 4
    assert (outcome.error["code"], outcome.error["retryable"]) == ("storage_failed", True)
    assert outcome.file is None


def test_a_bucket_that_refuses_us_costs_no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret("wrong"))
    settings.cache_clear()
    bucket.cache_clear()
    began = monotonic()
    outcome = run("refused")
    assert monotonic() - began < PATIENCE_S / 2
    assert outcome.error["code"] == "storage_refused"


def test_a_handler_without_room_on_its_disk_says_so() -> None:
    with cramped(10):
        outcome = run("full")
    assert (outcome.error["code"], outcome.error["retryable"]) == ("disk_full", True)
    assert run("room").error is None
