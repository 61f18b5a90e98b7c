"""The judge of all fault runs must itself be right: it passes what is right, and finds each violation."""

from dataclasses import replace

import pytest

from tests.oracle import RULES, Attempt, Job, Run, judge

ONE = Attempt("a1", 1, good=True)
RIGHT = Job("j", "completed", ended_at=20.0, events=("accepted", "started", "completed"), has_result=True,
            attempts=(ONE,), author="a1", remote=("COMPLETED",))  # fmt: skip
RAN = Run("a1", "j", 10.0, 19.0)
CANCELLED = replace(RIGHT, status="cancelled", expected="cancelled", has_result=False, attempts=(), author="",
                    remote=(), events=("accepted", "cancelled"))  # fmt: skip
SECOND = replace(RIGHT, attempts=(Attempt("a0", 1), Attempt("a1", 2, good=True)))


@pytest.mark.parametrize(
    ("job", "runs"),
    [
        (RIGHT, [RAN]),
        (replace(RIGHT, upstream=("a", "b"), drawn=("b", "a")), [RAN]),
        (CANCELLED, []),
        (replace(CANCELLED, upstream=("a",), settled=False), []),
        (SECOND, [Run("a0", "j", 1.0, 9.0, died=True), RAN]),
        # The remote itself gave it out again, as its worker had died.
        (RIGHT, [Run("a1", "j", 1.0, 9.0, died=True), RAN]),
        # It stood still for as long as the other was at work, or until it could hear that it was given up.
        (SECOND, [Run("a0", "j", 1.0, 25.0, still=((2.0, 22.0),)), RAN]),
        (SECOND, [Run("a0", "j", 1.0, 18.0, still=((2.0, 15.0),)), RAN]),
    ],
)
def test_what_is_right_passes(job: Job, runs: list[Run]) -> None:
    assert judge([job], runs) == []


@pytest.mark.parametrize(
    ("job", "runs", "said"),
    [
        (replace(RIGHT, status="processing", has_result=False), [RAN], "lost: it is still processing"),
        (replace(RIGHT, expected="failed"), [RAN], "ended as completed, not failed"),
        (replace(RIGHT, has_result=False), [RAN], "is completed without a result"),
        (replace(RIGHT, events=("completed", "completed")), [RAN], "told of its end as"),
        (replace(RIGHT, events=("failed",)), [RAN], "told of its end as"),
        (replace(RIGHT, events=()), [RAN], "told of its end as"),
        (replace(RIGHT, due=True), [RAN], "is still due"),
        (replace(RIGHT, settled=False), [RAN], "is not settled"),
        (replace(CANCELLED, settled=False), [], "is not settled"),
        (replace(RIGHT, attempts=(replace(ONE, ended=False),)), [RAN], "a1 is still open"),
        (replace(RIGHT, attempts=(replace(ONE, to_stop=True),)), [RAN], "a1 was never stopped"),
        (RIGHT, [replace(RAN, attempt_id="other")], "other ran and has no row"),
        (RIGHT, [replace(RAN, ended=None)], "a1 runs still"),
        (replace(RIGHT, remote=("COMPLETED", "IN_QUEUE")), [RAN], "its remote still has it IN_QUEUE"),
        (RIGHT, [Run("a1", "j", 1.0, 9.0), RAN], "a1 ran 2 times"),
        (SECOND, [Run("a0", "j", 1.0, 11.0), RAN], "were at work at once"),
        (SECOND, [Run("a0", "j", 1.0, 25.0, still=((2.0, 12.0),)), RAN], "were at work at once"),
        (SECOND, [Run("a0", "j", 1.0, 25.0, still=((11.0, 30.0),)), RAN], "were at work at once"),
        (SECOND, [Run("a0", "j", 1.0, None), RAN], "were at work at once"),
        (RIGHT, [RAN, Run("a1", "j", 21.0, 22.0)], "began after the job had completed"),
        (
            replace(RIGHT, attempts=(ONE, replace(ONE, id="a2", n=2))),
            [RAN],
            "attempt 2 was made although attempt 1 had come to a file",
        ),
        (replace(SECOND, author="a0"), [RAN], "its result is of attempt a0, which was given up for a1"),
        (replace(RIGHT, upstream=("a", "b"), drawn=("a",)), [RAN], "was handed ['a'], not each of ['a', 'b'] once"),
        (replace(RIGHT, upstream=("a",), drawn=("a", "a")), [RAN], "was handed ['a', 'a']"),
        (RIGHT, [RAN, replace(RAN, job_id="other")], "its job other is not there"),
    ],
)
def test_each_violation_is_found(job: Job, runs: list[Run], said: str) -> None:
    assert any(said in one for one in judge([job], runs)), judge([job], runs)


def test_no_rule_is_without_a_violation_that_it_alone_finds() -> None:
    wrong = [
        ("is_lost", replace(RIGHT, status="pending", has_result=False), [RAN]),
        ("ends_wrongly", replace(RIGHT, expected="failed"), [RAN]),
        ("ends_twice", replace(RIGHT, events=()), [RAN]),
        ("is_left", replace(RIGHT, due=True), [RAN]),
        ("leaves_orphans", replace(RIGHT, attempts=(replace(ONE, ended=False),)), [RAN]),
        ("runs_again", RIGHT, [Run("a1", "j", 1.0, 9.0), RAN]),
        ("runs_side_by_side", SECOND, [Run("a0", "j", 1.0, 11.0), RAN]),
        ("computes_again", replace(RIGHT, ended_at=5.0), [RAN]),
        ("answers_for_another", replace(SECOND, author="a0"), [RAN]),
        ("draws_wrongly", replace(RIGHT, drawn=("a",)), [RAN]),
    ]
    assert [name for name, _, _ in wrong] == [rule.__name__ for rule in RULES]
    assert [len(judge([job], runs)) for _, job, runs in wrong] == [1] * len(RULES)
