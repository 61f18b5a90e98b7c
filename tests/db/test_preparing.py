"""Jobs that a worker prepares."""

from uuid import uuid4

import pytest

from db import preparing
from db.base import soon
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")


def test_one_worker_at_a_time_prepares_a_job() -> None:
    job_id = rows.accept()
    assert preparing.begin(job_id)
    assert not preparing.begin(job_id)
    assert rows.job(job_id).stage == "preparing"
    assert 20 < (rows.due_in(job_id) or 0) <= 30
    rows.change(job_id, due_at=soon(1))
    preparing.renew(job_id)
    assert (rows.due_in(job_id) or 0) > 20
    rows.change(job_id, due_at=soon(-1))
    assert preparing.begin(job_id), "the first one is lost"


def test_a_job_that_waits_for_others_or_is_not_known_yet_or_has_ended_is_nobodys() -> None:
    first, later = rows.planned(), rows.planned()
    later.upstream.append(first.id)
    rows.canvas(first, later)
    ended = rows.accept()
    rows.end(ended)
    for job_id in (later.id, uuid4(), ended):
        assert preparing.begin(job_id)
    assert rows.job(later.id).blocked
    assert rows.job(ended).stage == "completed"


def test_a_message_that_comes_again_is_waited_for() -> None:
    job_id = rows.accept()
    assert preparing.expect(job_id, 5)
    assert 10 < (rows.due_in(job_id) or 0) <= 15
    assert preparing.expect(uuid4(), 5), "its row may yet be made"
    rows.end(job_id)
    before = rows.due_in(job_id)
    assert not preparing.expect(job_id, 300)
    assert (rows.due_in(job_id) or 0) <= (before or 0)
