"""A job's transitions, without a database."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, sampled_from
from sqlalchemy import inspect

from db.base import soon
from db.jobs import (
    BLOCKED,
    ENDED,
    LOOK_AGAIN_S,
    MOST_ATTEMPTS,
    SEND_AGAIN_S,
    SUBMIT_AGAIN_S,
    THROTTLED,
    THROTTLED_S,
    Job,
    Status,
)

SIGNATURE = {"task": "tasks.mask"}
ENDS: tuple[Status, ...] = ("completed", "failed", "cancelled", "expired")


def pending(stage: str = "queued") -> Job:
    return Job(id=uuid4(), tool="mask", status="pending", stage=stage, given={}, sends=0, progress=0.0)


def started() -> Job:
    job = pending()
    job.start({"seed": 1}, {}, SIGNATURE)
    return job


def seconds(moment: Any) -> float:
    """Read from now plus an interval, in the database's time, how long the interval is."""
    assert moment is not None
    return float(list(moment.right.clauses)[-1].value)


def told(job: Job) -> list[str]:
    return [event.name for event in inspect(job).attrs.events.history.added]


def test_a_start_parks_the_job_with_an_intent() -> None:
    job = pending()
    attempt = job.start({"seed": 1}, {"model_id": {"name": "x"}}, SIGNATURE)
    assert (job.status, job.stage, job.signature, job.params) == (
        "processing",
        "waiting_for_gpu",
        SIGNATURE,
        {"seed": 1},
    )
    assert (job.attempt, attempt.n, attempt.remote_id, attempt.ended_at) == (attempt, 1, None, None)
    assert seconds(job.due_at) == SUBMIT_AGAIN_S
    assert job.started_at is not None
    assert told(job) == ["started"]


def test_the_remotes_id_makes_an_attempt_of_the_intent() -> None:
    job = started()
    job.submitted("remote-1")
    assert job.attempt
    assert job.attempt.remote_id == "remote-1"
    assert seconds(job.due_at) == LOOK_AGAIN_S


def test_word_of_the_beginning_that_comes_after_the_end_changes_nothing() -> None:
    job = started()
    attempt, _ = job.attempt, job.end("completed")
    due_at = job.due_at
    job.submitted("remote-1")
    assert attempt
    assert (attempt.remote_id, job.due_at, job.status) == (None, due_at, "completed")


def test_a_held_job_keeps_its_message_and_stays_pending() -> None:
    job = pending()
    job.hold(THROTTLED, SIGNATURE, soon(THROTTLED_S))
    assert (job.status, job.stage, job.signature) == ("pending", THROTTLED, SIGNATURE)
    assert seconds(job.due_at) == THROTTLED_S
    assert job.attempt is None
    assert told(job) == [THROTTLED]


def test_a_lost_attempt_gives_way_to_a_new_one_and_never_to_a_fourth() -> None:
    job = started()
    job.submitted("remote-1")
    seen = [job.attempt]
    while fresh := job.lose():
        seen.append(fresh)
        assert (fresh.remote_id, job.stage, job.sends) == (None, "waiting_for_gpu", 0)
        assert seconds(job.due_at) == SUBMIT_AGAIN_S
    assert [attempt.n for attempt in job.attempts] == [1, 2, 3] == list(range(1, MOST_ATTEMPTS + 1))
    assert job.attempts == seen
    assert len({attempt.id for attempt in job.attempts}) == MOST_ATTEMPTS
    assert job.attempt is job.attempts[-1]
    assert told(job) == ["started", "attempt_lost", "attempt_lost"]


def at_endpoint() -> Job:
    job = pending()
    job.start({"seed": 1}, {}, SIGNATURE, "an-endpoint")
    return job


@pytest.mark.parametrize("status", ENDS)
def test_what_we_end_ourselves_must_stop_at_its_endpoint(status: Status) -> None:
    ours, theirs, queued = at_endpoint(), at_endpoint(), started()
    ours.end(status)
    theirs.end(status, outcome={"a": 1})
    queued.end(status)
    assert seconds(ours.attempts[0].stop_at) == 0
    assert (theirs.attempts[0].stop_at, queued.attempts[0].stop_at) == (None, None)


def test_a_lost_attempt_is_stopped_and_the_new_one_goes_where_it_is_told() -> None:
    job = at_endpoint()
    fresh = job.lose()
    assert fresh
    assert (job.attempts[0].endpoint, fresh.endpoint) == ("an-endpoint", None)
    assert seconds(job.attempts[0].stop_at) == 0
    assert fresh.stop_at is None


def test_an_id_that_comes_after_our_end_must_be_stopped_too() -> None:
    job = at_endpoint()
    attempt = job.attempts[0]
    assert job.submitted_late(attempt.id, "r") is False  # it lives: that is no late word
    job.end("cancelled")
    attempt.stop_at = None  # as if it had been seen to before
    assert job.submitted_late(attempt.id, "r") is True
    assert (attempt.remote_id, seconds(attempt.stop_at)) == ("r", 0)
    attempt.stop_at = None
    assert job.submitted_late(attempt.id, "other") is False
    assert job.submitted_late(uuid4(), "r") is False
    assert (attempt.remote_id, attempt.stop_at) == ("r", None)


def test_an_id_that_comes_after_its_own_end_is_only_noted() -> None:
    job = at_endpoint()
    job.end("completed", outcome={"a": 1})
    assert job.submitted_late(job.attempts[0].id, "r") is False
    assert (job.attempts[0].remote_id, job.attempts[0].stop_at) == ("r", None)


def test_an_ended_job_loses_nothing() -> None:
    job = started()
    job.end("cancelled")
    assert job.lose() is None
    assert len(job.attempts) == 1


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_the_first_ending_is_the_last_word(first: Status, second: Status) -> None:
    job = started()
    assert job.end(first, result={"a": 1}, error={"code": "x"}, outcome={"b": 2}) is True
    ended_at = job.ended_at
    assert job.end(second, result={"a": 9}) is False
    assert (job.status, job.stage, job.result, job.error, job.outcome) == (
        first,
        first,
        {"a": 1},
        {"code": "x"},
        {"b": 2},
    )
    assert job.ended_at is ended_at
    assert told(job) == ["started", first]


@pytest.mark.parametrize("status", ENDS)
def test_an_end_closes_the_attempt_and_is_due_until_it_is_settled(status: Status) -> None:
    job = started()
    job.end(status)
    assert job.attempt is None
    assert job.attempts[0].ended_at is not None
    assert (job.settled_at, seconds(job.due_at)) == (None, SEND_AGAIN_S)
    assert job.progress == (1.0 if status == "completed" else 0.0)
    job.settle()
    assert (job.due_at, job.settled_at is None) == (None, False)


def test_the_end_of_a_blocked_job_is_not_ours_to_send() -> None:
    job = pending(BLOCKED)
    assert job.blocked
    assert job.end("cancelled")
    assert job.due_at is None
    assert not job.blocked


def test_a_job_that_goes_on_cannot_be_settled() -> None:
    for job in (pending(), started()):
        due_at = job.due_at
        job.settle()
        assert (job.due_at, job.settled_at) == (due_at, None)


def test_what_was_lost_after_the_end_is_sent_again() -> None:
    job = started()
    job.end("completed", result={"a": 1})
    job.settle()
    job.unsettle()
    assert (job.settled_at, seconds(job.due_at), job.status) == (None, SEND_AGAIN_S, "completed")


class Life(RuleBasedStateMachine):
    """Any order of events that callers, workers and watchers can bring about."""

    @initialize(blocked=booleans())
    def accept(self, *, blocked: bool) -> None:
        self.job = pending(BLOCKED if blocked else "queued")
        self.word: str | None = None
        self.ids: list[Any] = []

    @precondition(lambda self: self.job.status == "pending")
    @rule()
    def hold(self) -> None:
        self.job.hold(THROTTLED, SIGNATURE, 1)

    @precondition(lambda self: self.job.status == "pending")
    @rule()
    def start(self) -> None:
        self.job.start({}, {}, SIGNATURE)

    @rule(remote_id=sampled_from(["a", "b"]))
    def submitted(self, remote_id: str) -> None:
        self.job.submitted(remote_id)

    @rule()
    def lose(self) -> None:
        before = self.job.attempt
        fresh = self.job.lose()
        assert fresh is None or (fresh is self.job.attempt and fresh is not before)

    @rule(status=sampled_from(ENDS))
    def end(self, status: Status) -> None:
        assert self.job.end(status) is (self.word is None)
        self.word = self.word or status

    @rule()
    def settle(self) -> None:
        self.job.settle()

    @precondition(lambda self: self.job.settled_at is not None)
    @rule()
    def unsettle(self) -> None:
        self.job.unsettle()

    @invariant()
    def at_most_one_attempt_lives(self) -> None:
        live = [attempt for attempt in self.job.attempts if attempt.ended_at is None]
        assert len(live) == (self.job.status == "processing")
        assert len(self.job.attempts) <= MOST_ATTEMPTS

    @invariant()
    def attempts_are_only_ever_added(self) -> None:
        ids = [attempt.id for attempt in self.job.attempts]
        assert ids[: len(self.ids)] == self.ids
        assert [attempt.n for attempt in self.job.attempts] == list(range(1, len(ids) + 1))
        self.ids = ids

    @invariant()
    def the_first_end_stays(self) -> None:
        assert (self.job.status if self.job.status in ENDED else None) == self.word

    @invariant()
    def only_the_settled_and_the_blocked_are_nobodys(self) -> None:
        if self.job.status == "processing" or (self.job.settled_at is None and self.job.attempts):
            assert self.job.due_at is not None
        if self.job.settled_at is not None:
            assert self.job.due_at is None


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=10, deadline=None, database=None, derandomize=True)
