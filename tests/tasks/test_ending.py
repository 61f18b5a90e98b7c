"""What an end costs, what proves it, and how a chord hears of it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from db.runs import Meter
from storage.bucket import bucket
from tasks import ending, strangers
from tasks.app import app
from tasks.ending import Found, own_meter
from tests.db import rows
from tools.errors import Cancelled, HandlerFailed, NoOutput
from tools.outcome import Outcome, StoredFile


@pytest.mark.parametrize(("engine", "execution_ms"), [("gpu", 1234), ("preview", 0)])
def test_on_our_own_machines_a_gpus_time_counts_and_a_cpus_does_not(engine: str, execution_ms: int) -> None:
    assert own_meter(Outcome(engine=engine, seconds=1.2341)) == Meter(execution_ms=execution_ms)


@pytest.mark.usefixtures("database", "redis_url")
def test_what_a_gpu_of_ours_took_counts_also_when_its_job_was_cancelled() -> None:
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    ending.cancel(job_id)
    outcome = Outcome(engine="gpu", seconds=1.5, error=Cancelled().problem())
    for _ in range(2):
        ending.conclude(job_id, attempt_id, outcome)
    assert (rows.job(job_id).status, rows.job(job_id).gpu_seconds) == ("cancelled", 1.5)
    rows.forget_all()


@pytest.mark.usefixtures("database", "redis_url")
def test_a_task_that_is_revoked_after_its_end_leaves_nobody_waiting() -> None:
    first, behind = rows.planned(), rows.planned()
    behind.upstream.append(first.id)
    rows.canvas(first, behind)
    rows.end(first.id)
    strangers.note_revoked(SimpleNamespace(id=str(first.id)))
    assert [rows.job(one.id).status for one in (first, behind)] == ["completed", "cancelled"]
    assert rows.job(first.id).settled_at
    rows.forget_all()


@pytest.fixture
def stored(s3: object) -> Iterator[StoredFile]:  # noqa: ARG001 - it must run
    """Put a file into the bucket, as a handler does."""
    bucket.cache_clear()
    put = bucket().put(f"masks/{uuid4()}.png", b"a file")
    yield StoredFile(r2_path=f"r2://{bucket().name}/{put.key}", size=put.size, sha256=str(put.sha256))
    bucket.cache_clear()


@pytest.mark.parametrize("lie", [{"size": 7}, {"sha256": "0" * 64}, {"r2_path": "r2://packshot/masks/none.png"}])
def test_a_file_is_believed_only_as_the_bucket_has_it(stored: StoredFile, lie: dict[str, Any]) -> None:
    honest = Outcome(engine="gpu", seconds=1, file=stored)
    assert ending.confirm(honest) == honest
    told = ending.confirm(honest.model_copy(update={"file": stored.model_copy(update=lie)}))
    assert told.file is None
    assert (told.error or {})["code"] == NoOutput.code


@pytest.mark.parametrize("address", ["/tmp/a.png", "https://bucket.example/a.png", "r2://packshot/../a.png", ""])
def test_a_file_whose_address_cannot_be_read_is_no_file_and_the_rest_of_the_outcome_stays(
    stored: StoredFile, address: str
) -> None:  # fmt: skip
    said = Outcome(engine="gpu", seconds=3, params={"seed": 7}, file=stored.model_copy(update={"r2_path": address}))
    told = ending.confirm(said)
    assert (told.file, told.seconds, told.params) == (None, 3, {"seed": 7})
    assert (told.error or {})["code"] == NoOutput.code
    assert repr(address) in (told.error or {})["detail"]


@pytest.mark.parametrize("more", [{"sampler": "new"}, {"mask_blur": -1}])
@pytest.mark.usefixtures("database", "redis_url")
def test_params_that_the_house_does_not_know_fail_the_job_that_was_paid_for_and_no_other(
    stored: StoredFile, more: dict[str, Any]
) -> None:
    params = {**rows.GIVEN["mask"], "seed": 1}
    found = [
        Found(job_id, rows.start(job_id), Outcome(engine="gpu", seconds=2, params=told, file=stored))
        for job_id, told in ((rows.accept(), {**params, **more}), (rows.accept(), params))
    ]
    ending.conclude_all(found)
    bad, good = (rows.job(one.job_id) for one in found)
    assert (good.status, bad.status) == ("completed", "failed")
    assert ((bad.error or {})["code"], (bad.error or {})["retryable"]) == (HandlerFailed.code, False)
    assert next(iter(more)) in (bad.error or {})["detail"]
    assert (bad.gpu_seconds, (bad.outcome or {})["file"]["r2_path"]) == (2, stored.r2_path)


@pytest.mark.usefixtures("database", "redis_url")
def test_a_chord_that_was_flushed_is_counted_afresh() -> None:
    members = [rows.planned() for _ in range(3)]
    for member in members:
        rows.canvas(member)
    ids = [member.id for member in members]
    rows.canvas(rows.planned(), rows.planned(*ids, members=ids, shared=True))
    group_id, backend = str(uuid4()), app.backend
    size: Any = backend.get_key_for_group(group_id, ".s")  # type: ignore[attr-defined]  # it is Redis
    rows.change(ids[0], signature={**rows.SIGNATURE, "options": {"group_id": group_id}})
    ending.restore_chord(rows.job(ids[0]))
    assert backend.client.get(size) == b"3"  # type: ignore[attr-defined]  # the same
    rows.forget_all()
