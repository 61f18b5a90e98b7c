"""Jobs whose message only waits in a long queue."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from db import unsent
from db.base import soon
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")


def due(**values: object) -> UUID:
    """Take in a job whose message has not come for a while."""
    job_id = rows.accept()
    rows.change(job_id, due_at=soon(-1), **values)
    return job_id


def is_due(job_id: UUID) -> bool:
    return (rows.due_in(job_id) or 0) <= 0


def test_what_came_after_the_next_message_waits_behind_it() -> None:
    older, first, younger = due(), due(), due()
    assert unsent.exist()
    unsent.put_off(first)
    assert [is_due(one) for one in (older, first, younger)] == [True, True, False]
    assert 5 < (rows.due_in(younger) or 0) <= 10
    assert rows.job(younger).sends == 0


def test_it_waits_for_as_long_as_it_came_behind_the_first() -> None:
    first = due()
    for behind_s, waits_s in {1: 10, 20: 20, 300: 30}.items():
        younger = due(created_at=rows.job(first).created_at + timedelta(seconds=behind_s))
        unsent.put_off(first)
        assert waits_s - 5 < (rows.due_in(younger) or 0) <= waits_s


def test_what_comes_due_before_the_claim_is_put_off_with_the_rest() -> None:
    first, younger = due(), due()
    rows.change(younger, due_at=soon(1))
    assert unsent.exist()
    unsent.put_off(first)
    assert (rows.due_in(younger) or 0) > 5


def test_what_was_sent_again_or_holds_or_is_late_is_not_put_off() -> None:
    first = due()
    others = due(sends=1), due(stage="throttled"), due(start_by=soon(-1)), due(status="processing")
    unsent.put_off(first)
    assert all(is_due(one) for one in others)


def test_a_message_of_no_job_says_nothing() -> None:
    young = due()
    unsent.put_off(uuid4())
    assert is_due(young)


def test_where_nothing_is_due_nobody_asks_the_broker() -> None:
    rows.forget_all()
    rows.accept()
    assert not unsent.exist()
