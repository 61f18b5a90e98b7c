"""The entry of RunPod's workers, on a real bucket, without RunPod."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from embedded.ports import HOST, any_free
from gpu_handlers import entry
from gpu_handlers.entry import Progress, handle
from settings import settings
from storage import claims
from storage.bucket import bucket
from tests import nap
from tools.errors import Cancelled
from tools.outcome import Outcome, StoredFile

Told = list[dict[str, Any]]


@pytest.fixture(name="diary", autouse=True)
def keep_diary(s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the handler write down when it runs."""
    assert s3["S3_ENDPOINT_URL"]
    bucket.cache_clear()
    (tmp_path / "diary").touch()
    monkeypatch.setenv(nap.DIARY, str(tmp_path / "diary"))
    monkeypatch.setenv("RUNPOD_POD_ID", "w1")
    yield tmp_path / "diary"
    bucket.cache_clear()


def job(remote_id: str = "job-1", attempt_id: str = "", **params: Any) -> dict[str, Any]:
    """Write a job down as RunPod gives it out."""
    told = {"job_id": "j", "attempt_id": attempt_id or str(uuid4()), "tool": "nap", "params": {"seed": 1, **params}}
    return {"id": remote_id, "input": {**told, "found": {}}}


def do(given: Mapping[str, Any], told: Told | None = None) -> dict[str, Any]:
    """Do a job as RunPod's worker does."""
    heard: Told = [] if told is None else told
    return asyncio.run(handle(given, lambda _job, said: heard.append(said)))


def test_a_success_bears_no_error_and_its_outcome_is_kept(diary: Path) -> None:
    given = job()
    said = do(given)
    attempt_id = given["input"]["attempt_id"]
    assert "error" not in said
    assert "refresh_worker" not in said
    outcome = Outcome.model_validate(said)
    assert outcome == claims.find_outcome(attempt_id)
    assert outcome.file
    assert outcome.file.r2_path.startswith(f"r2://{settings().s3_bucket}/generated/{attempt_id}")
    claim = claims.find(attempt_id)
    assert claim
    assert (claim.remote_id, claim.worker) == ("job-1", "w1")
    assert diary.read_text().split() == ["began", "seed-1", "ended", "seed-1"]


@pytest.mark.parametrize(
    ("fate", "code", "spoiled"),
    [("fail", "handler_failed", None), ("refuse", "object_not_found", None), ("overflow", "out_of_memory", True)],
)
def test_a_failure_bears_its_error_as_text(fate: str, code: str, *, spoiled: bool | None) -> None:
    given = job(fate=fate)
    said = do(given)
    error = json.loads(said["error"])
    assert error["code"] == code
    assert said.get("refresh_worker") is spoiled
    kept = claims.find_outcome(given["input"]["attempt_id"])
    assert kept
    assert kept.error == error


def test_who_finds_the_claim_taken_touches_nothing(diary: Path) -> None:
    attempt_id = str(uuid4())
    claims.take(attempt_id, "job-of-another", "w2")
    said = do(job("job-1", attempt_id))
    assert diary.read_text() == ""
    assert said["claim"]["remote_id"] == "job-of-another"
    assert claims.find_outcome(attempt_id) is None


def test_a_job_that_is_given_out_again_goes_on_where_it_was(diary: Path) -> None:
    attempt_id = str(uuid4())
    claims.take(attempt_id, "job-1", "a worker that died")
    first = do(job("job-1", attempt_id))
    assert "file" in first
    assert do(job("job-1", attempt_id)) == first
    assert diary.read_text().count("began") == 1


def test_a_stopped_job_ends_when_its_handler_has_ended(diary: Path) -> None:
    given = job(seconds=60)

    async def stop() -> None:
        task = asyncio.ensure_future(handle(given, lambda _job, _said: None))
        while not diary.read_text():
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "ended" in diary.read_text()

    asyncio.run(stop())
    assert diary.read_text().split() == ["began", "seed-1", "ended", "seed-1"]
    assert claims.find_outcome(given["input"]["attempt_id"]) is None


def test_without_a_bucket_nothing_is_begun(diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT_URL", f"http://{HOST}:{any_free(set())}")
    settings.cache_clear()
    bucket.cache_clear()
    said = do(job())
    monkeypatch.undo()
    settings.cache_clear()
    assert json.loads(said["error"])["code"] == "storage_failed"
    assert diary.read_text() == ""


def test_progress_is_told_once_a_second_and_not_at_the_last_moment() -> None:
    told: Told = []
    do(job(seconds=3), told)
    assert 1 <= len(told) <= 3
    assert all(0 < one["progress"] < entry.LAST_MOMENT and one["stage"] == "napping" for one in told)


def test_the_answer_waits_for_the_last_word_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "TELL_EVERY_S", 0.01)
    told_at: list[float] = []
    progress = Progress(lambda _said: told_at.append(time.monotonic()))
    time.sleep(0.02)
    progress.report(0.5, "sampling")
    progress.report(0.99, "uploading")
    progress.settle()
    assert len(told_at) == 1
    assert time.monotonic() - told_at[0] >= entry.SETTLE_S


def test_a_quick_job_does_not_wait() -> None:
    progress = Progress(lambda _said: None)
    progress.report(0.5, "sampling")
    began = time.monotonic()
    progress.settle()
    assert time.monotonic() - began < entry.SETTLE_S


def test_an_outcome_too_large_to_be_answered_is_only_named() -> None:
    file = StoredFile(r2_path="r2://packshot/generated/a.png", size=1, sha256="a")
    large = Outcome(engine="gpu", seconds=1, file=file, facts={"bulk": "x" * entry.LARGEST_ANSWER})
    assert entry.answer(large) == {"kept": True}
    problem = Cancelled().problem()
    assert entry.answer(large.model_copy(update={"error": problem})) == {"kept": True, "error": json.dumps(problem)}


def test_the_worker_stays_free_while_a_handler_works() -> None:
    free = threading.Event()

    async def work() -> None:
        task = asyncio.ensure_future(handle(job(seconds=0.5), partial(lambda *_: None)))
        await asyncio.sleep(0.05)
        free.set()
        assert not task.done()
        await task

    asyncio.run(work())
    assert free.is_set()
