"""RunPod's webhook: a hint with our mark in its address."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient

from db.base import soon, transaction
from settings import settings
from tasks.remotes import hook
from tests.api.asking import assert_problem
from tests.canaries import HOOKS, secret
from tests.db import rows


@pytest.fixture(name="secret", autouse=True)
def have_secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOOK_SECRET", HOOKS)
    monkeypatch.setenv("PUBLIC_URL", "https://packshot.example/")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(name="running")
def start_one() -> tuple[UUID, UUID]:
    """Start a job that is due in a while; give its id and the attempt's."""
    job_id = rows.accept()
    with transaction() as session:
        job = rows.lock(session, job_id)
        attempt_id = job.start(job.params or {}, {}, rows.SIGNATURE, "an-endpoint").id
        job.due_at = soon(1000)
    return job_id, attempt_id


def path(attempt_id: UUID) -> str:
    address = hook.address(attempt_id)
    assert address
    return address.removeprefix("https://packshot.example")


def is_due(job_id: UUID) -> bool:
    return (rows.due_in(job_id) or 0) <= 0


def test_a_hook_makes_the_job_due_and_believes_nothing(client: FlaskClient, running: tuple[UUID, UUID]) -> None:
    job_id, attempt_id = running
    lie = {"id": "x", "status": "COMPLETED", "output": {"file": {"r2_path": "r2://somebody/else.png"}}}
    answer = client.post(path(attempt_id), json=lie)
    assert (answer.status_code, answer.data) == (200, b"")
    assert is_due(job_id)
    job = rows.job(job_id)
    assert (job.status, job.attempt and job.attempt.remote_id) == ("processing", None)


@pytest.mark.parametrize("body", [b"", b"{", b"\x00" * 1000, b"[" * 5000])
def test_the_body_is_not_read(client: FlaskClient, running: tuple[UUID, UUID], body: bytes) -> None:
    assert client.post(path(running[1]), data=body, content_type="application/json").status_code == 200
    assert is_due(running[0])


def test_a_replay_does_no_more(client: FlaskClient, running: tuple[UUID, UUID]) -> None:
    before = rows.told(running[0])
    for _ in range(20):
        assert client.post(path(running[1])).status_code == 200
    assert rows.told(running[0]) == before


def test_a_late_hook_changes_nothing(client: FlaskClient, running: tuple[UUID, UUID]) -> None:
    rows.end(running[0])
    before = rows.job(running[0])
    assert client.post(path(running[1])).status_code == 200
    after = rows.job(running[0])
    assert (after.status, after.due_at, after.ended_at) == (before.status, before.due_at, before.ended_at)


def test_a_hook_for_an_attempt_that_never_was_does_no_harm(client: FlaskClient) -> None:
    assert client.post(path(uuid4())).status_code == 200


def test_a_forged_hook_is_told_nothing(client: FlaskClient, running: tuple[UUID, UUID]) -> None:
    job_id, attempt_id = running
    mark = path(attempt_id).rpartition("/")[2]
    wrong = [mark[:-1] + ("0" if mark[-1] != "0" else "1"), mark[:-1], mark + "0", mark.upper(), "%C3%A9", "%ED%B2%80"]
    answers = [client.post(f"/hooks/runpod/{attempt_id}/{one}") for one in wrong]
    answers += [client.post(f"/hooks/runpod/{uuid4()}/{mark}"), client.post(f"/hooks/runpod/nonsense/{mark}")]
    assert {answer.status_code for answer in answers} == {404}
    for answer in answers:
        assert_problem(answer, 404, "not_found")
    assert len({answer.get_json()["detail"] for answer in answers}) == 1
    assert not is_due(job_id)


def test_an_old_secret_is_worth_nothing(
    client: FlaskClient, running: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = path(running[1])
    for other in (secret("older"), ""):
        monkeypatch.setenv("HOOK_SECRET", other)
        settings.cache_clear()
        assert client.post(old).status_code == 404
    assert not is_due(running[0])


def test_without_a_secret_no_mark_is_ours(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "")
    settings.cache_clear()
    assert client.post(path(uuid4())).status_code == 404


def test_who_cannot_be_reached_gives_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "")
    settings.cache_clear()
    assert hook.address(uuid4()) is None
