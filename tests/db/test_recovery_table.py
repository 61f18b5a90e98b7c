"""The pure table that says what a due job needs."""

from itertools import product
from typing import Any

import pytest

from db.jobs import BLOCKED, THROTTLED, Job
from db.traces import Attempt
from tasks import answers, watch

LIVE: dict[str, list[Attempt]] = {"live": [Attempt(n=1, remote_id="a")], "intent": [Attempt(n=1)], "none": []}


def due(status: str, stage: str = "queued", attempts: str = "none") -> Job:
    return Job(status=status, stage=stage, attempts=[Attempt(n=a.n, remote_id=a.remote_id) for a in LIVE[attempts]])


@pytest.mark.parametrize(
    ("job", "late", "needs"),
    [
        (due("pending"), False, watch.send),
        (due("pending", THROTTLED), False, watch.send),
        (due("pending", "delayed"), False, watch.send),
        (due("pending", BLOCKED), False, watch.rewind),
        (due("pending"), True, watch.expire),
        (due("pending", THROTTLED), True, watch.expire),
        (due("pending", BLOCKED), True, watch.expire),
        *[(due("processing", "waiting_for_gpu", "intent"), late, answers.submit) for late in (True, False)],
        *[(due("processing", "sampling", "live"), late, answers.look) for late in (True, False)],
        *[
            (due(status, status), late, watch.send)
            for status, late in product(["completed", "failed", "cancelled", "expired"], [True, False])
        ],
    ],
)
def test_a_due_job_gets_what_it_needs(job: Job, *, late: bool, needs: Any) -> None:
    assert watch.needed(job, late=late) is needs


def test_a_second_attempt_is_an_intent_again() -> None:
    job = Job(
        tool="mask", status="processing", stage="waiting_for_gpu", sends=0, attempts=[Attempt(n=1, remote_id="a")]
    )
    job.lose()
    assert watch.needed(job, late=False) is answers.submit
    job.submitted("b")
    assert watch.needed(job, late=False) is answers.look
