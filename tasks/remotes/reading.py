"""What RunPod's word on a job means to us. Pure: neither network nor clock."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from db.runs import Meter
from tools.errors import Cancelled, ExecutionTimeout, Expired, HandlerFailed, NoOutput, ToolError
from tools.outcome import Outcome

QUEUED = "IN_QUEUE"

#: How such a job is shown until its handler says more.
WAITING, WORKING = "waiting_for_gpu", "running"


@dataclass(frozen=True)
class Going:
    """It waits or runs, and is so far (0 to 1)."""

    progress: float
    stage: str
    #: It has begun, so that its outcome may be in the bucket although RunPod has not heard of its end.
    begun: bool


@dataclass(frozen=True)
class Over:
    """It has ended with this outcome. `sure`: the handler itself said so; else the bucket may know better."""

    outcome: Outcome
    sure: bool
    meter: Meter


@dataclass(frozen=True)
class Elsewhere:
    """Nothing was done, as another job of RunPod's has the attempt's claim; nobody, if the id is empty."""

    remote_id: str


Read = Going | Over | Elsewhere


def read(said: Mapping[str, Any]) -> Read:
    """Read the answer of /status."""
    output, error = said.get("output"), said.get("error")
    match said.get("status"):
        case "COMPLETED" if claimed_by(output) is not None:
            return Elsewhere(str(claimed_by(output)))
        case "COMPLETED":
            return conclude(said, read_outcome(output), NoOutput())
        case "FAILED":
            problem = read_error(error)
            return conclude(said, failed(output, problem, said) if "code" in problem else None, from_text(problem))
        case "TIMED_OUT":  # RunPod says so too of a job that no worker took in time
            began = said.get("executionTime") or said.get("workerId")
            return conclude(said, None, ExecutionTimeout() if began else Expired())
        case "CANCELLED":
            return conclude(said, None, Cancelled())
        case state:  # also one that we have never heard of
            return going(str(state), output)


def conclude(said: Mapping[str, Any], outcome: Outcome | None, otherwise: ToolError) -> Over:
    """Take the handler's own outcome, or the error that stands for it until the bucket says better."""
    meter = read_meter(said)
    if outcome is not None:
        return Over(outcome, sure=True, meter=meter)
    return Over(empty(said, otherwise.problem()), sure=False, meter=meter)


def going(state: str, output: Any) -> Going:
    """Read progress, which comes as the output of a job that goes on."""
    told = output if isinstance(output, Mapping) else {}
    begun = state != QUEUED
    progress, stage = told.get("progress"), told.get("stage")
    known = progress if isinstance(progress, int | float) and 0 <= progress <= 1 else 0.0
    return Going(known, stage if isinstance(stage, str) else WORKING if begun else WAITING, begun)


def claimed_by(output: Any) -> str | None:
    """Find whose the claim is, if the handler found it taken."""
    claim = output.get("claim") if isinstance(output, Mapping) else None
    found = claim.get("remote_id") if isinstance(claim, Mapping) else None
    return found if isinstance(found, str) else None


def read_outcome(output: Any) -> Outcome | None:
    """Read a handler's answer; None for what is none, or says only that the outcome is in the bucket."""
    try:
        return Outcome.model_validate(output)
    except ValidationError:
        return None


def read_error(error: Any) -> dict[str, Any]:
    """Read an error: JSON of ours (`code`), JSON of the SDK's (`error_type`), or the text of anybody."""
    try:
        told = json.loads(error) if isinstance(error, str) else error
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {"text": str(error or "")}


def from_text(problem: Mapping[str, Any]) -> ToolError:
    """Make an error of ours out of one that our handler did not foresee."""
    text = str(problem.get("error_message") or problem.get("text") or "it did not say why")[:500]
    kind = {"exception": problem["error_type"]} if "error_type" in problem else {}
    return HandlerFailed(f"RunPod gave up on it: {text}", {"text": text, **kind})


def failed(output: Any, problem: dict[str, Any], said: Mapping[str, Any]) -> Outcome:
    """Put the error back into the outcome that it was taken out of."""
    told = {"detail": problem["code"], "retryable": False, **problem}
    known = read_outcome(output)
    return known.model_copy(update={"error": told, "file": None}) if known else empty(said, told)


def empty(said: Mapping[str, Any], problem: dict[str, Any]) -> Outcome:
    """Make the outcome of an attempt of which nothing else is known."""
    return Outcome(engine="gpu", seconds=(read_meter(said).execution_ms or 0) / 1000, error=problem)


def read_meter(said: Mapping[str, Any]) -> Meter:
    """Read what it took."""
    worker = said.get("workerId")
    return Meter(
        delay_ms=count(said.get("delayTime")), execution_ms=count(said.get("executionTime")),
        worker=worker if isinstance(worker, str) else None,
    )  # fmt: skip


def count(value: Any) -> int | None:
    """Read milliseconds; None for what is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**31 else None
