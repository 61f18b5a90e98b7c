"""Keys: kept as hashes, found by their prefix, and counted where a job is taken in."""

import hmac
from dataclasses import replace
from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from db import api_keys, course, intake
from db.api_keys import ApiKey, Caller, Charge, Origin
from db.base import soon, transaction
from db.course import AskedFlow
from db.flows import Flow
from db.jobs import Job
from tests.db import rows
from tools import flow, plan
from tools.allowance import Allowance, KeyRefused, QuotaReached
from tools.deadlines import Deadlines
from tools.errors import InvalidInput

pytestmark = pytest.mark.usefixtures("tables")


def holder(**allowance: float) -> Caller:
    """Make a key with these bounds, and find whose it is."""
    return api_keys.find(api_keys.create("one", ["submit"], allowance=Allowance(**allowance)))  # type: ignore[arg-type]  # whole where it must be


def accept(caller: Caller, *, max_gpu_seconds: int | None = None) -> UUID:
    """Take in a job with a key."""
    asked = replace(
        rows.asked(), origin=Origin(caller, "request"), deadlines=Deadlines(max_gpu_seconds=max_gpu_seconds)
    )
    intake.accept(asked)
    return asked.id


def charge(job_id: UUID, seconds: float) -> None:
    """Let a job take GPU seconds, and end."""
    rows.start(job_id)
    rows.change(job_id, gpu_seconds=seconds)
    rows.end(job_id, result={"r2_path": "r2://packshot/masks/a.png"})


def test_a_key_is_kept_as_a_hash_and_found_by_its_prefix() -> None:
    key = api_keys.create("shop", ["read", "submit"])
    with transaction() as session:
        kept = session.scalars(select(ApiKey).where(ApiKey.name == "shop")).one()
    assert key.startswith(f"packshot_{kept.prefix}_")
    assert key.split("_", 2)[2] not in str(vars(kept))
    found = api_keys.find(key)
    assert (found.id, found.name, found.limited) == (kept.id, "shop", False)
    assert (found.may("read"), found.may("submit"), found.may("admin")) == (True, True, False)
    assert all(api_keys.find(api_keys.create("all", ["admin"])).may(scope) for scope in ("read", "submit", "admin"))


@pytest.mark.parametrize(
    "wrong", ["", "x", "packshot_", "packshot__", "other_0123456789ab_x", "packshot_%_x", "_" * 90]
)
def test_what_is_no_key_is_refused(wrong: str) -> None:
    with pytest.raises(KeyRefused):
        api_keys.find(wrong)


def test_a_key_is_right_to_its_last_letter() -> None:
    key = api_keys.create("right", ["read"])
    for wrong in (key[:-1], key + "x", key[:-1] + ("A" if key[-1] != "A" else "B"), key.upper()):
        with pytest.raises(KeyRefused):
            api_keys.find(wrong)


def test_whatever_is_sent_is_compared_once_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    key, compared = api_keys.create("timed", ["read"]), []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(api_keys, "hmac", SimpleNamespace(compare_digest=compare))
    api_keys.find(key)
    _, prefix, secret = key.split("_", 2)
    for wrong in (f"packshot_{prefix}_{'A' * len(secret)}", f"packshot_{'0' * 12}_{secret}", "x", key + "x" * 99):
        with pytest.raises(KeyRefused):
            api_keys.find(wrong)
    assert compared == [(64, 64)] * 5  # hashes in hex, also where no key has such a prefix


def test_a_revoked_and_an_expired_key_are_refused() -> None:
    key, late = api_keys.create("gone", ["read"]), api_keys.create("late", ["read"], days=1)
    assert api_keys.find(late).name == "late"
    api_keys.revoke(key.split("_")[1])
    with transaction() as session:
        session.execute(update(ApiKey).where(ApiKey.name == "late").values(expires_at=soon(-1)))
    for wrong in (key, late):
        with pytest.raises(KeyRefused):
            api_keys.find(wrong)


def test_to_revoke_what_is_not_there_says_so() -> None:
    with pytest.raises(InvalidInput, match="packshot keys list"):
        api_keys.revoke("nothing")


def test_the_first_key_is_made_once_however_many_ask_for_it() -> None:
    with transaction() as session:
        session.execute(text("TRUNCATE api_keys CASCADE"))
    made = [key for key in rows.at_once(5, api_keys.create_first) if key is not None]
    assert len(made) == 1
    assert api_keys.find(made[0]).may("admin")
    assert api_keys.create_first() is None


def test_a_job_says_whose_it_is_and_of_which_request() -> None:
    caller = holder()
    job = rows.job(accept(caller))
    assert (job.key_id, job.request_id) == (caller.id, "request")


def test_a_thousand_at_once_get_no_place_more_than_there_are() -> None:
    caller = holder(jobs_in_flight=3)
    got = rows.at_once(40, lambda: accept(caller))
    taken = [one for one in got if isinstance(one, UUID)]
    assert len(taken) == 3
    assert {type(one) for one in got if one not in taken} == {QuotaReached}
    with transaction() as session:
        assert len(session.scalars(select(Job.id).where(Job.key_id == caller.id)).all()) == 3
    rows.end(taken[0])
    accept(caller)


def test_the_seconds_that_jobs_took_are_counted_and_outlive_them() -> None:
    caller = holder(gpu_seconds_per_day=10)
    for _ in range(2):
        charge(job_id := accept(caller), 5.5)
    with pytest.raises(QuotaReached):
        accept(caller)
    with transaction() as session:
        session.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": job_id})
        assert list(session.scalars(select(Charge.seconds).where(Charge.key_id == caller.id))) == [5.5, 5.5]
        session.execute(text("UPDATE charges SET at = at - interval '1 day'"))
    accept(caller)


def test_what_a_job_may_still_take_is_kept_free_for_it() -> None:
    caller = holder(gpu_seconds_per_day=100)
    first = accept(caller, max_gpu_seconds=60)
    with pytest.raises(QuotaReached):
        accept(caller, max_gpu_seconds=60)
    accept(caller, max_gpu_seconds=40)
    charge(first, 10)
    accept(caller, max_gpu_seconds=50)


def test_a_key_that_is_revoked_meanwhile_submits_nothing() -> None:
    caller = holder(jobs_in_flight=5)
    with transaction() as session:
        session.execute(update(ApiKey).where(ApiKey.id == caller.id).values(revoked_at=soon(0)))
    with pytest.raises(KeyRefused):
        accept(caller)


def take_in(*steps: dict[str, object], caller: Caller | None = None, **more: object) -> UUID:
    """Take in a flow."""
    body = {"steps": list(steps), **more}
    asked = AskedFlow(UUID(int=rows.asked().id.int), plan.make(flow.parse(body)), body, origin=Origin(caller))
    with transaction() as session:
        course.accept(session, asked)
    return asked.id


def spread(count: int) -> dict[str, object]:
    return {"id": "m", "tool": "mask", "count": count, "with": rows.GIVEN["mask"]}


def test_a_flow_needs_a_place_for_each_job_that_it_begins_with() -> None:
    caller = holder(jobs_in_flight=3)
    take_in(spread(3), caller=caller)
    with pytest.raises(QuotaReached):
        take_in(spread(1), caller=caller)
    other = holder(jobs_in_flight=3)
    with pytest.raises(QuotaReached):
        take_in(spread(4), caller=other)
    with transaction() as session:
        assert session.scalars(select(Flow.id).where(Flow.key_id == other.id)).all() == []
        assert {job.step for job in session.scalars(select(Job).where(Job.key_id == caller.id))} == {"m"}


def test_a_flow_begins_no_step_when_its_seconds_are_spent() -> None:
    masked: dict[str, object] = {"id": "b", "tool": "mask", "after": ["a"], "with": rows.GIVEN["mask"]}
    after: dict[str, object] = {**masked, "id": "c", "after": ["b"]}
    flow_id = take_in({**masked, "id": "a", "after": []}, masked, after, max_gpu_seconds=20)

    def run(step: str, seconds: float) -> Job:
        with transaction() as session:
            job_id = session.scalars(select(Job.id).where(Job.flow_id == flow_id, Job.step == step)).one()
        if rows.job(job_id).status == "pending":
            charge(job_id, seconds)
        return rows.job(job_id)

    assert (run("a", 8).max_gpu_s, run("b", 9).max_gpu_s) == (20, 12)
    last = run("c", 0)
    assert (last.status, (last.error or {})["code"]) == ("failed", "gpu_seconds_spent")


def test_no_attempt_is_made_that_could_take_more_than_is_left() -> None:
    job_id = accept(holder(), max_gpu_seconds=60)
    rows.start(job_id)
    assert rows.job(job_id).limits.timeout_s == 60
    rows.change(job_id, gpu_seconds=40.0)
    with transaction() as session:
        assert rows.lock(session, job_id).lose() is not None
    assert rows.job(job_id).limits.timeout_s == 20
    rows.change(job_id, gpu_seconds=57.0)
    with transaction() as session:
        assert rows.lock(session, job_id).lose() is None
