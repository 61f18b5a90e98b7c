"""A job that a worker prepares."""

import pytest

from db import preparing
from db.base import soon
from tasks import hold
from tests.conftest import wait_until
from tests.db import rows


@pytest.mark.usefixtures("database")
def test_a_job_is_held_for_as_long_as_it_is_prepared_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "RENEW_S", 0.05)
    job_id = rows.accept("train")
    with hold.held(job_id) as mine:
        assert mine
        rows.change(job_id, due_at=soon(-1))
        wait_until(lambda: (rows.due_in(job_id) or 0) > preparing.LEASE_S / 2, 10)
        with hold.held(job_id) as also:
            assert not also
    rows.change(job_id, due_at=soon(-1))
    with hold.held(job_id) as mine:
        assert mine, "whoever held it is gone"
    rows.forget_all()
