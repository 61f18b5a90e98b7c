"""The plan of a flow: its steps in an order in which they can run, each checked before the first one does."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tools import binding, catalog, references
from tools.contract import Tool
from tools.errors import InvalidInput, ToolError
from tools.flow import EACH, INPUTS, MOST_JOBS, Fault, Flow, Step, blame, elements, fault, raise_all, tell
from tools.references import Handed, is_index
from tools.shapes import Shape, fields_of, follow


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

    flow: Flow
    faults: list[Fault] = field(default_factory=list)
    ready: dict[str, Ready] = field(default_factory=dict)

    def where(self, step: Step, part: str) -> str:
        """Point at a part of a step."""
        return f"/steps/{self.flow.steps.index(step)}/{part}"


def make(flow: Flow) -> list[Ready]:
    """Check a flow whole. Raises InvalidInput, which names all that is wrong."""
    check = Check(flow)
    for step in flow.steps:
        check.faults += check_names(check, step)
    raise_all(check.faults)
    for step in order(check):
        check.ready[step.id] = prepare(check, step)
    raise_all(check.faults)
    return list(check.ready.values())


def check_names(check: Check, step: Step) -> Iterator[Fault]:
    """Check the names in a step: its own, its tool's, and those of other steps."""
    ids = [each.id for each in check.flow.steps]
    if step.id in {INPUTS, EACH}:
        yield fault(check.where(step, "id"), f"{step.id} means something else in a flow: call the step otherwise.")
    if ids.count(step.id) > 1 and check.flow.steps[ids.index(step.id)] is not step:
        yield fault(check.where(step, "id"), f"two steps are called {step.id}: a reference could mean either.")
    if step.tool not in catalog.TOOLS:
        near = get_close_matches(step.tool, catalog.TOOLS, n=2, cutoff=0.5)
        advice = "" if near else f" There are {', '.join(catalog.TOOLS)}."
        yield fault(check.where(step, "tool"), f"{step.id}: there is no tool {step.tool}.{advice}", suggestions=near)
    for part, name, said in named(step):
        if name not in ids:
            yield stray(check, step, part, name, said)
    yield from check_spread(check, step)


def named(step: Step) -> Iterator[tuple[str, str, str]]:
    """List the steps that a step names: in which part, by what name, and as it is written."""
    own = {EACH} if step.count is not None or step.foreach is not None else set()
    for part, value in {
        "foreach": step.foreach,
        **{f"with/{name}": value for name, value in step.told.items()},
    }.items():
        yield from ((part, found[1], found[0]) for found in references.find(value) if found[1] not in own)
    yield from (("after", name, name) for name in step.after)


def stray(check: Check, step: Step, part: str, name: str, said: str) -> Fault:
    """Refuse a name that is no step's."""
    if name == EACH:
        detail = f"{step.id}: {said} stands for a member of foreach, or a number below count, and there is neither."
        return fault(check.where(step, part), detail)
    near = get_close_matches(name, [INPUTS, *(each.id for each in check.flow.steps)], n=2, cutoff=0.5)
    return fault(check.where(step, part), f"{step.id}: {said} names no step of this flow.", suggestions=near)


def check_spread(check: Check, step: Step) -> Iterator[Fault]:
    """Check what a step is spread over."""
    if step.count is not None and step.foreach is not None:
        yield fault(check.where(step, "count"), f"{step.id}: give count or foreach, not both.")
    elif step.count is not None and not (type(step.count) is int and 1 <= step.count <= MOST_JOBS):
        yield fault(check.where(step, "count"), f"{step.id}: count is a whole number from 1 to {MOST_JOBS}.")
    elif isinstance(step.foreach, list) and not 1 <= len(step.foreach) <= MOST_JOBS:
        yield fault(check.where(step, "foreach"), f"{step.id}: foreach takes 1 to {MOST_JOBS} members.")
    elif isinstance(step.foreach, str) and not references.whole(step.foreach):
        yield fault(check.where(step, "foreach"), f"{step.id}: foreach wants a list, or a reference to one.")


def order(check: Check) -> list[Step]:
    """Put the steps in an order in which each comes after those that it names. Raises InvalidInput for a circle."""
    steps = {step.id: step for step in check.flow.steps}
    waits = {step.id: befores(step) for step in check.flow.steps}
    done: dict[str, Step] = {}
    while len(done) < len(steps):
        free = [name for name in steps if name not in done and waits[name] <= done.keys()]
        if not free:
            raise_all([circle(check, {name: waits[name] for name in steps if name not in done})])
        done |= {name: steps[name] for name in free}
    return list(done.values())


def befores(step: Step) -> set[str]:
    """Name the steps that must be over before this one."""
    return {name for _, name, _ in named(step)}


def circle(check: Check, waits: Mapping[str, set[str]]) -> Fault:
    """Name the steps that wait for each other."""
    path = [next(iter(waits))]
    while path[-1] not in path[:-1]:
        path.append(min(waits[path[-1]] & waits.keys()))
    path = path[path.index(path[-1]) :]
    step = next(step for step in check.flow.steps if step.id == path[0])
    return fault(check.where(step, "with"), f"these steps wait for each other: {' → '.join(reversed(path))}.")


def prepare(check: Check, step: Step) -> Ready:
    """Check one step, all before which is known."""
    tool, spread = catalog.find(step.tool), step.foreach if isinstance(step.foreach, str) else None
    before = [each.id for each in check.flow.steps if each.id in befores(step)]
    try:
        listed = elements(step)
        items = [step.told] if listed is None else [tell(step.told, element) for element in listed]
    except InvalidInput as error:
        check.faults += blame(check.where(step, "with"), step.id, error)
        items = []
    made = Ready(step, tool, before, items, spread, check.where(step, "with"))
    check.faults += unique(one for item in items for one in check_item(check, made, item))
    return made


def unique(faults: Iterable[Fault]) -> list[Fault]:
    """Say once what is wrong with each job of a step."""
    return list({(one["pointer"], one["detail"]): one for one in faults}.values())


def check_item(check: Check, made: Ready, item: Mapping[str, Any]) -> Iterator[Fault]:
    """Check what one job is told, as the binding will bind it."""
    step, tool, where = made.step, made.tool, check.where(made.step, "with")
    misfits = list(check_references(check, made, item))
    yield from misfits
    try:
        told, _ = tool.part(item)
        tool.check_given(told)
        if misfits:
            return
        filled = binding.fill_gaps(tool, told, direct(check, made), further(check, made))
        if not filled and not any(references.find(told)):
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
        yield fault(check.where(made.step, "foreach"), detail)
    for name, value in {**item, **({"foreach": made.spread} if made.spread else {})}.items():
        part = name if name == "foreach" else f"with/{name}"
        for found in references.find(value):
            if shape_of(check, made, found[0]) is None:
                detail = f"{made.step.id}.{name}: {found[0]} names no field of that result."
                yield fault(check.where(made.step, part), detail, suggestions=near_fields(check, found))
            elif name in wanted and found[0] in (value, *(value if isinstance(value, list) else [])):
                yield from check_fit(check, made, name, found[0], listed=isinstance(value, list))
            elif name in made.tool.takes and made.tool.takes[name].door:
                detail = f"{made.step.id}.{name}: an address is given whole, or by a reference that stands alone."
                yield fault(check.where(made.step, part), detail)


def check_fit(check: Check, made: Ready, name: str, said: str, *, listed: bool) -> Iterator[Fault]:
    """Check one reference that is a whole value, or a whole member of a list."""
    wanted = fields_of(made.tool.params, answered=False)[name]
    given = shape_of(check, made, said) or Shape()
    if listed and given.type != "array":
        given = given.listed()
    if not given.fits(wanted):
        detail = f"{made.step.id}.{name} wants {say(wanted)}, {bare(said)} gives {say(given)}."
        yield fault(check.where(made.step, f"with/{name}"), detail)


def say(shape: Shape) -> str:
    """Name a shape in a sentence."""
    return f"a list of {say(shape.inner or Shape())}" if shape.type == "array" else shape.said


def bare(said: str) -> str:
    """Write a reference without its signs."""
    return said.removeprefix("${").removesuffix("}")


def near_fields(check: Check, found: Any) -> list[str]:
    """Name the fields of a result that may have been meant."""
    given = check.ready.get(found[1])
    fields = list(fields_of(given.tool.result)) if given else []
    return get_close_matches((found[2] or "").split(".")[-1], fields, n=2, cutoff=0.4) or fields


def shape_of(check: Check, made: Ready, said: str) -> Shape | None:
    """Say what a reference will give; None if it leads nowhere."""
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
    return {name: sample(check.ready[name], many=check.ready[name].many and name != paired) for name in made.before}


def further(check: Check, made: Ready) -> list[list[Handed]]:
    """Stand in for the results of the steps before those, nearest first."""
    levels, nearest = [], made.before
    while nearest := sorted({name for each in nearest for name in check.ready[each].before}):
        levels.append([sample(check.ready[name], many=check.ready[name].many) for name in nearest])
    return levels


def sample(made: Ready, *, many: bool) -> Handed:
    """Make a result of which nothing but its source is known."""
    one = {name: f"{made.step.id}.{name}" for name in made.tool.gives}
    other = {name: f"{made.step.id}.1.{name}" for name in made.tool.gives}
    return Handed(made.tool.name, [one, other] if many else one)
