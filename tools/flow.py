"""What a flow is: steps with references between them, in any order; and how a step is shared out to its jobs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools import references
from tools.deadlines import LARGEST_GPU_S, SHORTEST_S
from tools.errors import InvalidInput, MissingInput, NotFound, ToolError
from tools.references import Handed, Upstream, is_index, read
from tools.refusal import advise, check_sound, gather, refuse
from tools.texts import NAME, Text

#: Steps of a flow, and jobs of one step.
MOST_STEPS, MOST_JOBS = 500, 1000

#: Jobs of a flow in all, and characters of what they are told, as far as the request tells: little text can mean much.
MOST_IN_ALL, MOST_TOLD = 10_000, 4_000_000

#: Names that are no steps: what the flow was given, and what a step is spread over.
INPUTS, EACH = "inputs", "each"

#: One thing that is wrong, as a problem document lists it.
Fault = dict[str, Any]


class FlowNotFound(NotFound):
    """There is no flow with this id."""

    code = "flow_not_found"


class FlowRunning(ToolError):
    """The flow has not ended yet: wait for its end, or cancel it first."""

    code = "flow_running"
    retryable = True


EXAMPLE = [
    {"id": "shot", "tool": "generate", "with": {"model_id": 1, "prompt": "TOK_HANDBAG on a marble table"}},
    {"id": "film", "tool": "video", "with": {"image_url": "${shot.r2_path}"}},
]


class Step(BaseModel):
    """One step, as it is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(pattern=NAME, description="What other steps call it.")
    tool: str = Field(max_length=64, description="The tool that it runs.")
    told: dict[str, Any] = Field({}, alias="with", description="The tool's params; a value may be a reference.")
    after: list[str] = Field([], max_length=MOST_STEPS, description="Steps that must be over first.")
    count: int | str | None = Field(None, description="Run it so often; ${each} counts from 0.")
    foreach: list[Any] | str | None = Field(
        None, description="Run it once for each of these, or of what a reference gives; ${each} is one of them."
    )
    on_error: Literal["fail", "skip"] = Field("fail", description="What it means for the flow if it does not complete.")


class Flow(BaseModel):
    """A flow, as it is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Text | None = Field(None, min_length=1, max_length=200, description="What you call it.")
    max_gpu_seconds: int | None = Field(
        None, ge=SHORTEST_S, le=LARGEST_GPU_S, description="GPU seconds after which no further step begins."
    )
    inputs: dict[str, Any] = Field({}, description="What ${inputs.name} stands for.")
    steps: list[Step] = Field(
        min_length=1, max_length=MOST_STEPS, description="The steps, in any order.", examples=[EXAMPLE]
    )


def parse(body: Mapping[str, Any]) -> Flow:
    """Read a flow; its inputs are put in their places. Raises InvalidInput, which names all that is wrong."""
    check_sound(body)
    steps = body.get("steps")
    faults = [fault for n, step in enumerate(steps if isinstance(steps, list) else []) for fault in misread(n, step)]
    raise_all(faults)
    try:
        flow = Flow.model_validate(body)
    except ValidationError as error:
        raise refuse(Flow, error) from None
    check_growth(flow)
    known: Upstream = {INPUTS: Handed(None, flow.inputs)}
    filled = [fill_in(n, step, known, faults) for n, step in enumerate(flow.steps)]
    raise_all(faults)
    return flow.model_copy(update={"steps": filled})


def misread(n: int, step: Any) -> list[Fault]:
    """List what is wrong with the form of one step."""
    try:
        Step.model_validate(step)
    except ValidationError as error:
        return list(blame(f"/steps/{n}", str(n), refuse(Step, error)))
    return []


def check_growth(flow: Flow) -> None:
    """Refuse inputs that stand in texts and lists so often that these would be huge. Raises InvalidInput."""
    sizes = {name: len(str(value)) for name, value in flow.inputs.items()}
    parts = [part for step in flow.steps for part in (step.foreach, *step.told.values()) if not references.whole(part)]
    found = (found for part in parts for found in references.find(part) if found[1] == INPUTS and found[2])
    if (told := sum(sizes.get(one[2].split(".")[0], 0) for one in found)) > MOST_TOLD:
        raise_all([fault("/inputs", f"inputs: {overgrown(told)}")])


def overgrown(told: int) -> str:
    """Say that what jobs are told is too much."""
    return f"with its references read, this tells the jobs {told} characters; {MOST_TOLD} is the most (docs/flows.md)."


def extent(step: Step) -> tuple[int, int]:
    """Count the jobs of a step, and the characters that they are told, as far as the request tells."""
    each = elements(step) or [None]
    named = sum(found[1] == EACH for value in step.told.values() for found in references.find(value))
    return len(each), len(each) * len(json.dumps(step.told)) + named * sum(len(str(element)) for element in each)


def fill_in(n: int, step: Step, known: Upstream, faults: list[Fault]) -> Step:
    """Put the inputs in their places."""
    parts = {"count": step.count, "foreach": step.foreach, **{f"with/{name}": told for name, told in step.told.items()}}
    put: dict[str, Any] = {}
    for part, value in parts.items():
        name = part.removeprefix("with/")
        try:
            put[part] = read(name, value, known, leave=True)
        except InvalidInput as error:
            if missing := ungiven(f"/steps/{n}/{part}", f"{step.id}.{name}", value, known):
                faults.append(missing)
            else:
                faults += blame(f"/steps/{n}/{part}".removesuffix(f"/{name}"), step.id, error)
    told = {part.removeprefix("with/"): value for part, value in put.items() if part.startswith("with/")}
    return step.model_copy(update={"count": put.get("count"), "foreach": put.get("foreach"), "told": told})


def ungiven(pointer: str, name: str, value: Any, known: Upstream) -> Fault | None:
    """Say which input is not there; None if all are."""
    given = known[INPUTS]
    names = list(given.values) if given else []
    asked = (found for found in references.find(value) if found[1] == INPUTS and found[2])
    said = next((found[0] for found in asked if found[2].split(".")[0] not in names), None)
    if said is None:
        return None
    detail = f"{name}: {said} names no input that was given (given: {', '.join(names) or 'none'})."
    return fault(pointer, detail, MissingInput.code)


def fault(pointer: str, detail: str, code: str = InvalidInput.code, suggestions: Sequence[Any] = ()) -> Fault:
    """Describe one thing that is wrong."""
    entry: Fault = {"pointer": pointer, "code": code, "detail": detail}
    return {**entry, "suggestions": list(suggestions)} if suggestions else entry


def blame(pointer: str, name: str, error: ToolError) -> Iterator[Fault]:
    """Say of which step an error is."""
    for entry in error.details.get("errors") or [{"pointer": "", "code": error.code, "detail": error.detail}]:
        field = str(entry["pointer"]).replace("/", ".")
        joint = " " if entry["detail"].startswith("wants ") else ": "
        yield {**entry, "pointer": pointer + entry["pointer"], "detail": f"{name}{field}{joint}{entry['detail']}"}


def raise_all(faults: list[Fault]) -> None:
    """Refuse, if anything is wrong."""
    if faults:
        raise gather(faults, " ".join(f"{each['detail']}{advise(each)}" for each in faults))


def elements(step: Step) -> list[Any] | None:
    """List what a step is spread over: [None] if it is not; None if only a reference tells, at run time."""
    if step.count is not None:
        return list(range(int(step.count)))
    if step.foreach is None:
        return [None]
    return step.foreach if isinstance(step.foreach, list) else None


def tell(told: Mapping[str, Any], element: Any) -> dict[str, Any]:
    """Put one element in the place of ${each}."""
    known: Upstream = {EACH: Handed(None, element)}
    return {name: read(name, value, known, leave=True) for name, value in told.items()}


@dataclass(frozen=True)
class Share:
    """What one job of a step is told, and what it is handed: None in place of what was skipped."""

    given: dict[str, Any]
    upstream: Upstream
    #: What ${each} stands for. It is not put in its place, or a text in it would be read as a reference.
    scope: Upstream = field(default_factory=dict)

    @property
    def left_out(self) -> bool:
        """It needs what a skipped step did not give."""
        named = (
            found[1] for value in self.given.values() if isinstance(value, str) for found in references.find(value)
        )
        return any(name in self.upstream and self.upstream[name] is None for name in named)


def share(items: Sequence[dict[str, Any]], spread: str | None, upstream: Upstream) -> list[Share]:
    """Share a step out to its jobs. Raises InvalidInput if what it is spread over is no list."""
    if spread is None:
        return [Share(given, upstream) for given in items]
    found = references.whole(spread)
    if found is None or upstream.get(found[1]) is None:
        return []
    values = read("foreach", spread, upstream)
    if not isinstance(values, list):
        raise InvalidInput.at("foreach", f"{spread} is no list, so nothing can be done for each.")
    if len(values) > MOST_JOBS:
        raise InvalidInput.at("foreach", f"{spread} has {len(values)} members: a step may have {MOST_JOBS} jobs.")
    each = [Share(items[0], upstream, {EACH: Handed(None, value)}) for value in values]
    return list(pair(found[1], each, upstream)) if spreads(found, upstream) else each


def spreads(found: re.Match[str], upstream: Upstream) -> bool:
    """Tell whether a reference gives one element for each job of the step that it names."""
    handed = upstream.get(found[1])
    return handed is not None and isinstance(handed.values, list) and not is_index((found[2] or "").split(".")[0])


def pair(name: str, shares: list[Share], upstream: Upstream) -> Iterator[Share]:
    """Hand each job the one result that its element came from."""
    handed = upstream[name]
    for one, member in zip(shares, handed.members if handed else [], strict=True):
        yield replace(one, upstream={**upstream, name: Handed(handed.tool if handed else None, member)})
