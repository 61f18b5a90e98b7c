"""What the end of a job opens in its flow: all of it in one transaction, each step once, and nothing twice."""

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import field_validator
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from db import course, flow_pages, intake, life, upkeep
from db.base import soon, transaction
from db.course import AskedFlow, Kept
from db.flows import Flow, Step
from db.intake import IdempotencyKey, Key
from db.jobs import Job
from db.traces import DAY_S
from tests.db import rows
from tests.noop import NOOP, NoopParams
from tools import flow, plan
from tools.catalog import TOOLS
from tools.flow import FlowNotFound

pytestmark = pytest.mark.usefixtures("tables")


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOLS, NOOP.name, NOOP)


def step(name: str, word: str = "x", **more: Any) -> dict[str, Any]:
    heard = more.pop("heard", [])
    return {"id": name, "tool": "noop", "with": {"word": word, "heard": heard}, **more}


def start(*steps: dict[str, Any], **more: Any) -> tuple[UUID, list[tuple[UUID, str]]]:
    """Take in a flow; its id, and what is to be sent."""
    asked = AskedFlow(uuid4(), plan.make(flow.parse({"steps": list(steps)})), {"steps": list(steps)}, **more)
    with transaction() as session:
        course.accept(session, asked)
        return asked.id, list(course.take_opened(session))


def end(job_id: UUID, status: Any = "completed", word: str = "w") -> list[tuple[UUID, str]]:
    """End a job; what is to be sent then."""
    with transaction() as session:
        job = rows.lock(session, job_id)
        life.end(session, job, status, result={"word": word, "words": [word, word], "n": 0, "heard": []})
        return list(course.take_opened(session))


def shown(flow_id: UUID) -> dict[str, str]:
    return {one["id"]: one["status"] for one in flow_pages.read(flow_id)["steps"]}


def test_a_step_is_opened_by_the_end_of_the_last_before_it_and_bound_by_what_they_gave() -> None:
    flow_id, sent = start(step("a"), step("b"), step("c", "${a.word}", heard=["${b.word}"]))
    assert [tool for _, tool in sent] == ["noop", "noop"]
    assert shown(flow_id) == {"a": "processing", "b": "processing", "c": "pending"}
    (first, _), (second, _) = sent
    assert end(first, word="one") == []
    ((third, _),) = end(second, word="two")
    job = rows.job(third)
    assert (job.params or {})["word"] == "one"
    assert (job.params or {})["heard"] == ["two"]
    assert set(job.drawn) == {first, second}
    assert rows.due_in(third) is not None, "a lost message is sent again"
    assert end(third) == []
    assert flow_pages.read(flow_id)["status"] == "completed"


def test_a_job_that_ends_twice_opens_once() -> None:
    _, ((first, _),) = start(step("a"), step("b", "${a.word}"))
    assert len(end(first)) == 1
    assert end(first) == []


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_what_does_not_complete_cancels_all_behind_it(status: str) -> None:
    flow_id, sent = start(step("a"), step("b", after=["a"]), step("c", after=["b"]), step("d"))
    assert end(sent[0][0], status) == []
    assert shown(flow_id) == {"a": "failed", "b": "cancelled", "c": "cancelled", "d": "processing"}
    end(sent[1][0])
    assert flow_pages.read(flow_id)["status"] == "failed"


def test_nothing_is_opened_by_what_is_taken_back() -> None:
    flow_id, ((first, _),) = start(step("a"), step("b", "${a.word}"))
    with transaction() as session:
        life.end(session, rows.lock(session, first), "completed", result={"word": "w"})
        session.flush()
        session.rollback()
    assert shown(flow_id) == {"a": "processing", "b": "pending"}


NAMES = [f"s{n}" for n in range(12)]


@pytest.mark.parametrize(
    "steps",
    [[*(step(name) for name in NAMES), step("end", heard=[f"${{{name}.word}}" for name in NAMES])],
     [step("all", count=12), step("end", heard="${all.word}")]],
    ids=["steps", "jobs of one step"],
)  # fmt: skip
def test_many_that_end_at_one_moment_open_what_is_behind_them_once(steps: list[dict[str, Any]]) -> None:
    flow_id, sent = start(*steps)
    todo = [job_id for job_id, _ in sent]
    opened = rows.at_once(12, lambda: end(todo.pop()))
    assert sum(map(len, opened)) == 1, opened
    with transaction() as session:
        assert session.scalar(select(func.count()).where(Job.flow_id == flow_id)) == 13
    (last,) = (one for one in opened if one)
    end(last[0][0])
    assert flow_pages.read(flow_id)["status"] == "completed"


def test_jobs_of_two_flows_that_end_together_in_two_orders_do_not_wait_for_each_other() -> None:
    pairs = [start(step("a", count=8), step("b", heard="${a.word}")) for _ in range(2)]
    batches = [[pairs[0][1][n][0], pairs[1][1][n][0]][:: 1 if n % 2 else -1] for n in range(8)]

    def end_both() -> int:
        with transaction() as session:
            jobs = life.lock_all(session, batch := batches.pop())
            course.lock_all(session, [job.flow_id for job in jobs.values() if job.flow_id])
            for job_id in batch:
                life.end(session, jobs[job_id], "completed", result={"word": "w"})
            return len(list(course.take_opened(session)))

    assert sum(rows.at_once(8, end_both)) == 2
    assert [shown(flow_id) for flow_id, _ in pairs] == [{"a": "completed", "b": "processing"}] * 2


class MoodyParams(NoopParams):
    """What is told to a tool with a fault of its own."""

    @field_validator("word")
    @classmethod
    def fall_over(cls, word: str) -> str:
        """Fall over a word that only a result brings."""
        if word == "boom":
            raise RuntimeError(word)
        if word == "gone":
            raise SQLAlchemyError(word)
        return word


MOODY = replace(NOOP, name="moody", params=MoodyParams)


def test_what_nobody_foresaw_while_a_step_is_opened_fails_that_step_and_never_the_end_before_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(TOOLS, MOODY.name, MOODY)
    behind = [{**step("b", "${a.word}"), "tool": "moody"}, step("c", "${a.word}"), step("d", "${b.word}")]
    flow_id, ((first, _),) = start(step("a"), *behind)
    with suppress(RuntimeError):
        end(first, word="boom")
    assert rows.job(first).status == "completed"
    assert shown(flow_id) == {"a": "completed", "b": "failed", "c": "processing", "d": "cancelled"}
    told = {one["id"]: one for one in flow_pages.read(flow_id)["steps"]}
    assert (told["b"]["error"]["code"], told["b"]["error"]["retryable"]) == ("internal", False)
    (line,) = (line for line in caplog.records if line.exc_info)
    assert line.exc_info is not None
    assert isinstance(line.exc_info[1], RuntimeError)
    end(UUID(told["c"]["jobs"][0]["job_id"]))
    assert flow_pages.read(flow_id)["status"] == "failed"


def test_a_database_that_fails_while_a_step_is_opened_takes_the_end_before_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TOOLS, MOODY.name, MOODY)
    flow_id, ((first, _),) = start(step("a"), {**step("b", "${a.word}"), "tool": "moody"})
    with pytest.raises(SQLAlchemyError):
        end(first, word="gone")
    assert (rows.job(first).status, shown(flow_id)) == ("pending", {"a": "processing", "b": "pending"})


def test_a_cancelled_flow_opens_nothing_and_ends_with_its_last_job() -> None:
    flow_id, ((first, _),) = start(step("a"), step("b", "${a.word}"))
    with transaction() as session:
        assert course.cancel(session, flow_id) == [first]
    assert shown(flow_id) == {"a": "processing", "b": "cancelled"}
    assert end(first, "cancelled") == []
    told = flow_pages.read(flow_id)
    assert (told["status"], shown(flow_id)) == ("cancelled", {"a": "cancelled", "b": "cancelled"})
    with transaction() as session:
        assert course.cancel(session, flow_id) == []
        with pytest.raises(FlowNotFound):
            course.cancel(session, uuid4())


def test_what_is_kept_is_over_from_the_start_and_handed_on() -> None:
    old, ((first, _),) = start(step("a"), step("b", "${a.word}"))
    end(first, word="kept")
    steps = (step("a"), step("b", "${a.word}!"))
    new, ((second, _),) = start(*steps, kept={"a": Kept([first], "completed")}, retry_of=old)
    assert (rows.job(second).params or {})["word"] == "kept!"
    end(second)
    told = flow_pages.read(new)
    assert (told["status"], told["retry_of"]) == ("completed", str(old))
    assert [one["kept"] for one in told["steps"]] == [True, False]
    whole, sent = start(*steps, kept={"a": Kept([first], "completed"), "b": Kept([second], "completed")})
    assert (sent, flow_pages.read(whole)["status"]) == ([], "completed")


def test_flows_are_forgotten_when_they_are_long_over_and_their_keys_a_day_after() -> None:
    old, ((done, _),) = start(step("a"))
    going, ((kept, _), (_open, _)) = start(step("a"), step("b"))
    for job_id in (done, kept):
        end(job_id)
        rows.change(job_id, created_at=soon(-9 * DAY_S), ended_at=soon(-9 * DAY_S))
    with transaction() as session:
        for flow_id, name in ((old, "old"), (going, "going")):
            intake.keep_key(session, Key("flows", name, "f"), flow_id=flow_id)
        session.execute(update(IdempotencyKey).values(created_at=soon(-2 * DAY_S)))
        session.execute(update(Flow).values(created_at=soon(-9 * DAY_S)))
        session.execute(update(Flow).where(Flow.id == old).values(ended_at=soon(-9 * DAY_S)))
    upkeep.forget_keys()
    assert intake.find_key(Key("flows", "old", "f")) is None
    assert intake.find_key(Key("flows", "going", "f")) == going
    upkeep.forget_jobs(8)
    with transaction() as session:
        left = set(session.scalars(select(Job.id).where(Job.id.in_([done, kept]))))
    assert left == {kept}, "what a flow that goes on has come to is still handed on"
    assert upkeep.forget_flows(8) == 1
    with pytest.raises(FlowNotFound):
        flow_pages.read(old)
    assert shown(going)["b"] == "processing"


def test_the_transitions_of_a_step_need_no_database() -> None:
    def opened(jobs: int, missed: int = 0, *, skips: bool = False) -> Step:
        one = Step(skips=skips, blocked_by=0)
        one.open([uuid4() for _ in range(jobs + missed)], jobs, missed)
        return one

    one = opened(2)
    assert (one.note(completed=True, cancelled=False), one.status) == (False, "processing")
    assert (one.note(completed=True, cancelled=False), one.status) == (True, "completed")
    for skips, status in ((False, "failed"), (True, "skipped")):
        lone = opened(1, skips=skips)
        assert (lone.note(completed=False, cancelled=False), lone.status) == (True, status)
    some = opened(1, 1, skips=True)
    assert (some.note(completed=True, cancelled=False), some.status) == (True, "completed")
    gone = opened(1)
    assert (gone.note(completed=False, cancelled=True), gone.status) == (True, "cancelled")
    assert opened(0).status == "completed"
    assert opened(0, 1).status == "failed"
