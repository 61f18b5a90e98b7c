"""The plan of a flow: its steps in an order in which they can run, each checked before the first one does."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any

from pydantic import BaseModel

from tools import binding, catalog, references
from tools.contract import Tool
from tools.errors import InvalidInput, ToolError
from tools.flow import EACH, Fault, Flow, Step, blame, elements, fault, raise_all, tell
from tools.references import Handed, is_index
from tools.refusal import MOST_FAULTS
from tools.shapes import Shape, fields_of, follow
from tools.wiring import Wiring, check_extent, check_names, order


@dataclass(frozen=True)
class Ready:
    """A step that has been checked: what each of its jobs is told, and which steps must be over before."""

    step: Step
    tool: Tool
    before: list[str]
    #: One for each job. If the list that it is spread over is known only at run time: one, for all.
    items: list[dict[str, Any]]
    #: The reference to such a list.
    spread: str | None = None
    #: Where in the request its params are; {} stands for the number of the job.
    where: str = ""

    @property
    def many(self) -> bool:
        """Whether its result is a list."""
        return self.step.count is not None or self.step.foreach is not None


@dataclass
class Check:
    """What is known of a flow while it is checked."""

    wiring: Wiring
    faults: list[Fault] = field(default_factory=list)
    ready: dict[str, Ready] = field(default_factory=dict)
    #: What is asked for again and again: shapes by step and reference, results by step and whether they are many.
    shapes: dict[tuple[str, str], Shape | None] = field(default_factory=dict)
    samples: dict[tuple[str, bool], Handed] = field(default_factory=dict)

    def blame(self, faults: Iterable[Fault]) -> None:
        """Note faults, each once. Raises InvalidInput when there are as many as one can read."""
        self.faults += islice(unique(faults), MOST_FAULTS - len(self.faults))
        if len(self.faults) >= MOST_FAULTS:
            raise_all(self.faults)


def make(flow: Flow) -> list[Ready]:
    """Check a flow whole. Raises InvalidInput, which names all that is wrong."""
    wiring = Wiring(flow)
    check = Check(wiring)
    for step in flow.steps:
        check.blame(check_names(wiring, step))
    raise_all(check.faults)
    check_extent(wiring)
    for step in order(wiring):
        check.ready[step.id] = prepare(check, step)
    raise_all(check.faults)
    return list(check.ready.values())


def prepare(check: Check, step: Step) -> Ready:
    """Check one step, all before which is known."""
    tool, spread = catalog.find(step.tool), step.foreach if isinstance(step.foreach, str) else None
    before = [name for name in check.wiring.steps if name in check.wiring.waits[step.id]]
    try:
        listed = elements(step)
        items = [step.told] if listed is None else [tell(step.told, element) for element in listed]
    except InvalidInput as error:
        check.blame(blame(check.wiring.where(step, "with"), step.id, error))
        items = []
    made = Ready(step, tool, before, items, spread, check.wiring.where(step, "with"))
    if items:
        gaps = fill_gaps(check, made, items[0])  # the same for each: they are told values of the same names
        check.blame(one for item in items for one in check_item(check, made, item, gaps))
    return made


def unique(faults: Iterable[Fault]) -> Iterator[Fault]:
    """Say once what is wrong with each job of a step."""
    seen = set()
    for one in faults:
        if (said := (one["pointer"], one["detail"])) not in seen:
            seen.add(said)
            yield one


def fill_gaps(check: Check, made: Ready, item: Mapping[str, Any]) -> dict[str, Any] | ToolError:
    """Fill what the jobs of a step are not told from what the steps before will give, or say why that cannot be."""
    distant = further(check, made) if binding.inherits(made.tool, item) else []
    try:
        return binding.fill_gaps(made.tool, item, direct(check, made), distant)
    except ToolError as error:
        return error


def check_item(
    check: Check, made: Ready, item: Mapping[str, Any], gaps: dict[str, Any] | ToolError
) -> Iterator[Fault]:  # fmt: skip
    """Check what one job is told, as the binding will bind it."""
    step, tool, where = made.step, made.tool, made.where
    misfits = list(check_references(check, made, item))
    yield from misfits
    try:
        told, _ = tool.part(item)
        tool.check_given(told)
        if misfits:
            return
        if isinstance(gaps, ToolError):
            raise gaps
        if not gaps and not any(references.find(told)):
            tool.check(told)
    except ToolError as error:
        yield from blame(where, step.id, error)


def blame_item(ready: Ready, n: int, name: str, error: ToolError) -> ToolError:
    """Say of which param, of which job, an error is that was only found by looking elsewhere."""
    entry = {"pointer": f"{ready.where.format(n)}/{name}", "code": error.code, "detail": error.detail}
    return type(error)(f"{ready.step.id}.{name}: {error.detail}", {**error.details, "errors": [entry]})


def check_references(check: Check, made: Ready, item: Mapping[str, Any]) -> Iterator[Fault]:
    """Check that each reference leads to something that fits."""
    wanted = fields_of(made.tool.params, answered=False)
    if made.spread and (given := shape_of(check, made, made.spread)) is not None and given.type not in {"array", ""}:
        detail = f"{made.step.id}: foreach wants a list, {bare(made.spread)} gives {given.said}."
        yield fault(check.wiring.where(made.step, "foreach"), detail)
    for name, value in {**item, **({"foreach": made.spread} if made.spread else {})}.items():
        part = name if name == "foreach" else f"with/{name}"
        alone = {each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)}
        for found in references.find(value):
            if shape_of(check, made, found[0]) is None:
                detail = f"{made.step.id}.{name}: {found[0]} names no field of that result."
                yield fault(check.wiring.where(made.step, part), detail, suggestions=near_fields(check, found))
            elif name in wanted and found[0] in alone:
                yield from check_fit(check, made, name, found[0], listed=isinstance(value, list))
            elif name in made.tool.takes and made.tool.takes[name].door:
                detail = f"{made.step.id}.{name}: an address is given whole, or by a reference that stands alone."
                yield fault(check.wiring.where(made.step, part), detail)


def check_fit(check: Check, made: Ready, name: str, said: str, *, listed: bool) -> Iterator[Fault]:
    """Check one reference that is a whole value, or a whole member of a list."""
    wanted = fields_of(made.tool.params, answered=False)[name]
    given = shape_of(check, made, said) or Shape()
    if listed and given.type != "array":
        given = given.listed()
    if not given.fits(wanted):
        detail = f"{made.step.id}.{name} wants {say(wanted)}, {bare(said)} gives {say(given)}."
        yield fault(check.wiring.where(made.step, f"with/{name}"), detail)


def say(shape: Shape) -> str:
    """Name a shape in a sentence."""
    return f"a list of {say(shape.inner or Shape())}" if shape.type == "array" else shape.said


def bare(said: str) -> str:
    """Write a reference without its signs."""
    return said.removeprefix("${").removesuffix("}")


def near_fields(check: Check, found: Any) -> list[str]:
    """Name the fields of a result that may have been meant."""
    given = check.ready.get(found[1])
    return near_names(given.tool.result, (found[2] or "").split(".")[-1]) if given else []


@lru_cache(maxsize=1000)
def near_names(model: type[BaseModel], name: str) -> list[str]:
    """Name the fields of a model whose names are near, or else all."""
    fields = list(fields_of(model))
    return get_close_matches(name, fields, n=2, cutoff=0.4) or fields


def shape_of(check: Check, made: Ready, said: str) -> Shape | None:
    """Say what a reference will give; None if it leads nowhere."""
    key = made.step.id, said
    if key not in check.shapes:
        check.shapes[key] = find_shape(check, made, said)
    return check.shapes[key]


def find_shape(check: Check, made: Ready, said: str) -> Shape | None:
    """Find that out."""
    found = references.whole(said)
    if found is None:
        return Shape()
    path = found[2].split(".") if found[2] else []
    if found[1] == EACH:
        spread = shape_of(check, made, made.spread or "")
        return follow((spread and spread.inner) or Shape(), path)
    given = check.ready[found[1]]
    result = Shape("object", fields=fields_of(given.tool.result))
    return follow(result.listed() if given.many else result, path)


def direct(check: Check, made: Ready) -> dict[str, Handed]:
    """Stand in for the results of the steps directly before: what they will give, by other names."""
    own = references.whole(made.spread)
    paired = own[1] if own and not is_index((own[2] or "").split(".")[0]) else None
    return {name: sample(check, name, many=check.ready[name].many and name != paired) for name in made.before}


def further(check: Check, made: Ready) -> list[list[Handed]]:
    """Stand in for the results of the steps before those, nearest first; what was nearer fills no gap from afar."""
    levels, nearest, seen = [], made.before, set(made.before)
    while nearest := sorted({name for each in nearest for name in check.ready[each].before} - seen):
        levels.append([sample(check, name, many=check.ready[name].many) for name in nearest])
        seen.update(nearest)
    return levels


def sample(check: Check, name: str, *, many: bool) -> Handed:
    """Make a result of which nothing but its source is known."""
    if (name, many) not in check.samples:
        tool = check.ready[name].tool
        one, other = ({field: f"{name}.{nth}{field}" for field in tool.gives} for nth in ("", "1."))
        check.samples[name, many] = Handed(tool.name, [one, other] if many else one)
    return check.samples[name, many]
