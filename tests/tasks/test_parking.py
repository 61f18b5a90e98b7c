"""How Celery notes a task that stops without a result, and one that fails."""

import pytest
from celery import Celery
from celery.app import trace
from celery.exceptions import Ignore

from tasks import parking

app = Celery("noting", backend="cache+memory://")


@app.task
def end(*, well: bool) -> None:
    raise Ignore if well else ValueError("it went wrong")


@pytest.mark.parametrize("well", [True, False])
def test_a_traceback_is_written_only_of_what_went_wrong(monkeypatch: pytest.MonkeyPatch, *, well: bool) -> None:
    monkeypatch.setattr(trace, "ExceptionInfo", trace.ExceptionInfo)  # type: ignore[attr-defined]  # so that it comes back
    parking.note_briefly()
    noted = trace.build_tracer(end.name, end, app=app)(
        "an id", [], {"well": well}, {"id": "an id", "delivery_info": {}}
    )
    assert isinstance(noted.retval.exception, Ignore) is well
    assert ("it went wrong" in noted.retval.traceback) is not well
    assert bool(noted.retval.traceback) is not well
