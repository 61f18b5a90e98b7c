"""What RunPod's word means: one pure table."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.runs import Meter
from tasks.remotes.reading import Elsewhere, Going, Over, read
from tools.outcome import Outcome, StoredFile

FILE = StoredFile(r2_path="r2://packshot/generated/a.png", size=3, sha256="ab")
DONE = Outcome(engine="gpu", seconds=2.5, params={"seed": 1}, file=FILE).model_dump(mode="json")
TOOK = {"delayTime": 1200, "executionTime": 2600, "workerId": "w1"}
PROBLEM = {"code": "object_not_found", "detail": "There is no shoe.", "retryable": False, "suggestions": ["sandal"]}
SDK = {"error_type": "<class 'ValueError'>", "error_message": "bad", "error_traceback": "…", "worker_id": "w1"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"status": "IN_QUEUE"}, Going(0.0, "waiting_for_gpu", begun=False)),
        ({"status": "IN_PROGRESS"}, Going(0.0, "running", begun=True)),
        ({"status": "RUNNING"}, Going(0.0, "running", begun=True)),
        ({"status": "FROM_THE_FUTURE"}, Going(0.0, "running", begun=True)),
        ({}, Going(0.0, "running", begun=True)),
        (
            {"status": "IN_PROGRESS", "output": {"progress": 0.4, "stage": "sampling"}},
            Going(0.4, "sampling", begun=True),
        ),
        ({"status": "IN_PROGRESS", "output": {"progress": 7, "stage": 3}}, Going(0.0, "running", begun=True)),
        ({"status": "IN_PROGRESS", "output": DONE}, Going(0.0, "running", begun=True)),
        ({"status": "COMPLETED", "output": {"claim": {"remote_id": "other-u1"}}}, Elsewhere("other-u1")),
        ({"status": "COMPLETED", "output": {"claim": {"remote_id": ""}}}, Elsewhere("")),
    ],
)
def test_what_goes_on_and_what_goes_on_elsewhere(said: dict[str, Any], meant: object) -> None:
    assert read(said) == meant


def test_a_completed_job_is_the_handlers_own_outcome() -> None:
    assert read({"status": "COMPLETED", "output": DONE, **TOOK}) == Over(
        Outcome.model_validate(DONE), sure=True, meter=Meter(1200, 2600, "w1")
    )


@pytest.mark.parametrize(
    ("said", "code", "sure"),
    [
        ({"status": "COMPLETED"}, "no_output", False),
        ({"status": "COMPLETED", "output": None}, "no_output", False),
        ({"status": "COMPLETED", "output": {"kept": True}}, "no_output", False),
        ({"status": "COMPLETED", "output": "a picture"}, "no_output", False),
        ({"status": "COMPLETED", "output": [DONE]}, "no_output", False),
        ({"status": "FAILED", "error": json.dumps(PROBLEM)}, "object_not_found", True),
        ({"status": "FAILED", "error": PROBLEM}, "object_not_found", True),
        ({"status": "FAILED", "error": json.dumps(PROBLEM), "output": DONE}, "object_not_found", True),
        ({"status": "FAILED", "error": json.dumps({"code": "from_the_future"})}, "from_the_future", True),
        ({"status": "FAILED", "error": json.dumps(SDK)}, "handler_failed", False),
        ({"status": "FAILED", "error": "job timed out after 1 retries"}, "handler_failed", False),
        ({"status": "FAILED", "error": "[1]"}, "handler_failed", False),
        ({"status": "FAILED"}, "handler_failed", False),
        ({"status": "TIMED_OUT", **TOOK}, "execution_timeout", False),
        ({"status": "TIMED_OUT", "workerId": "w1"}, "execution_timeout", False),
        ({"status": "TIMED_OUT", "delayTime": 9}, "expired", False),
        ({"status": "CANCELLED", **TOOK}, "cancelled", False),
    ],
)
def test_every_other_end_is_an_error_of_ours(said: dict[str, Any], code: str, *, sure: bool) -> None:
    meant = read(said)
    assert isinstance(meant, Over)
    error = meant.outcome.error
    assert error
    assert (error["code"], meant.sure, meant.outcome.file) == (code, sure, None)
    assert isinstance(error["retryable"], bool)
    assert error["detail"]


def test_an_error_of_the_sdk_keeps_its_text_and_not_its_traceback() -> None:
    meant = read({"status": "FAILED", "error": json.dumps(SDK)})
    assert isinstance(meant, Over)
    assert meant.outcome.error == {
        "code": "handler_failed", "detail": "RunPod gave up on it: bad", "retryable": True, "text": "bad",
        "exception": "<class 'ValueError'>",
    }  # fmt: skip


def test_an_error_keeps_what_the_handler_said_beside_it() -> None:
    meant = read({"status": "FAILED", "error": json.dumps(PROBLEM), "output": {**DONE, "file": None}, **TOOK})
    assert isinstance(meant, Over)
    assert (meant.outcome.seconds, meant.outcome.params, meant.outcome.error) == (2.5, {"seed": 1}, PROBLEM)
    assert meant.meter == Meter(1200, 2600, "w1")


junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
states = st.sampled_from(["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "?", None])


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(
    said=st.fixed_dictionaries(
        {"status": states | junk},
        optional=dict.fromkeys(("output", "error", "delayTime", "executionTime", "workerId"), junk),
    )
)
def test_nothing_that_they_could_say_is_too_strange(said: dict[str, Any]) -> None:
    meant = read(said)
    assert isinstance(meant, Going | Over | Elsewhere)
    if isinstance(meant, Over):
        assert meant.outcome.file or meant.outcome.error
        assert all(took is None or took >= 0 for took in (meant.meter.delay_ms, meant.meter.execution_ms))
