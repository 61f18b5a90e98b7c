"""The signs of life of a handler in our own process."""

from uuid import uuid4

import pytest

from db import attempts
from tasks.handle import Pulse, keep
from tests.db import rows
from tools.outcome import Outcome


def test_a_beat_that_fails_for_whatever_reason_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def beat(*_: object) -> bool:
        raise RuntimeError("nobody thought of that")

    monkeypatch.setattr(attempts, "beat", beat)
    pulse = Pulse(uuid4())
    assert pulse.beat()
    monkeypatch.setattr(attempts, "beat", lambda *_: False)
    assert not pulse.beat()


@pytest.mark.usefixtures("database")
def test_an_outcome_is_kept_by_the_attempt_that_is_under_way_alone() -> None:
    job_id = rows.accept()
    attempt_id, outcome = rows.start(job_id), Outcome(engine="gpu", seconds=1)
    assert keep(attempt_id, outcome)
    rows.end(job_id)
    assert not keep(attempt_id, outcome)
    rows.forget_all()
