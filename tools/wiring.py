"""How the steps of a flow hang together: their names, what each waits for, and how much they come to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from tools import catalog, references
from tools.flow import (
    EACH,
    INPUTS,
    MOST_IN_ALL,
    MOST_JOBS,
    MOST_TOLD,
    Fault,
    Flow,
    Step,
    extent,
    fault,
    overgrown,
    raise_all,
)


@dataclass(frozen=True)
class Wiring:
    """The steps of a flow, as they name each other."""

    flow: Flow

    def where(self, step: Step, part: str) -> str:
        """Point at a part of a step."""
        return f"/steps/{self.places[id(step)]}/{part}"

    @cached_property
    def places(self) -> dict[int, int]:
        """Where each step stands in the request."""
        return {id(step): n for n, step in enumerate(self.flow.steps)}

    @cached_property
    def steps(self) -> dict[str, Step]:
        """The steps by name; of two with one name, the first."""
        found: dict[str, Step] = {}
        for step in self.flow.steps:
            found.setdefault(step.id, step)
        return found

    @cached_property
    def waits(self) -> dict[str, set[str]]:
        """The steps that must be over before each."""
        return {step.id: {name for _, name, _ in named(step)} for step in self.flow.steps}


def check_names(wiring: Wiring, step: Step) -> Iterator[Fault]:
    """Check the names in a step: its own, its tool's, and those of other steps."""
    if step.id in {INPUTS, EACH}:
        yield fault(wiring.where(step, "id"), f"{step.id} means something else in a flow: call the step otherwise.")
    if wiring.steps[step.id] is not step:
        yield fault(wiring.where(step, "id"), f"two steps are called {step.id}: a reference could mean either.")
    if step.tool not in catalog.TOOLS:
        near = get_close_matches(step.tool, catalog.TOOLS, n=2, cutoff=0.5)
        advice = "" if near else f" There are {', '.join(catalog.TOOLS)}."
        yield fault(wiring.where(step, "tool"), f"{step.id}: there is no tool {step.tool}.{advice}", suggestions=near)
    for part, name, said in named(step):
        if name not in wiring.steps:
            yield stray(wiring, step, part, name, said)
    yield from check_spread(wiring, step)


def named(step: Step) -> Iterator[tuple[str, str, str]]:
    """List the steps that a step names: in which part, by what name, and as it is written."""
    own = {EACH} if step.count is not None or step.foreach is not None else set()
    for part, value in {
        "foreach": step.foreach,
        **{f"with/{name}": value for name, value in step.told.items()},
    }.items():
        yield from ((part, found[1], found[0]) for found in references.find(value) if found[1] not in own)
    yield from (("after", name, name) for name in step.after)


def stray(wiring: Wiring, step: Step, part: str, name: str, said: str) -> Fault:
    """Refuse a name that is no step's."""
    if name == EACH:
        detail = f"{step.id}: {said} stands for a member of foreach, or a number below count, and there is neither."
        return fault(wiring.where(step, part), detail)
    near = get_close_matches(name, [INPUTS, *wiring.steps], n=2, cutoff=0.5)
    return fault(wiring.where(step, part), f"{step.id}: {said} names no step of this flow.", suggestions=near)


def check_spread(wiring: Wiring, step: Step) -> Iterator[Fault]:
    """Check what a step is spread over."""
    if step.count is not None and step.foreach is not None:
        yield fault(wiring.where(step, "count"), f"{step.id}: give count or foreach, not both.")
    elif step.count is not None and not (type(step.count) is int and 1 <= step.count <= MOST_JOBS):
        yield fault(wiring.where(step, "count"), f"{step.id}: count is a whole number from 1 to {MOST_JOBS}.")
    elif isinstance(step.foreach, list) and not 1 <= len(step.foreach) <= MOST_JOBS:
        yield fault(wiring.where(step, "foreach"), f"{step.id}: foreach takes 1 to {MOST_JOBS} members.")
    elif isinstance(step.foreach, str) and not references.whole(step.foreach):
        yield fault(wiring.where(step, "foreach"), f"{step.id}: foreach wants a list, or a reference to one.")


def check_extent(wiring: Wiring) -> None:
    """Refuse what makes too much of a small request. Raises InvalidInput."""
    jobs, told = (sum(counts) for counts in zip(*map(extent, wiring.flow.steps), strict=True))
    if jobs > MOST_IN_ALL:
        raise_all([fault("/steps", f"steps: this makes {jobs} jobs; {MOST_IN_ALL} is the most (docs/flows.md).")])
    if told > MOST_TOLD:
        raise_all([fault("/steps", f"steps: {overgrown(told)}")])


def order(wiring: Wiring) -> list[Step]:
    """Put the steps in an order in which each comes after those that it names. Raises InvalidInput for a circle."""
    steps, waits = wiring.steps, wiring.waits
    done: dict[str, Step] = {}
    while len(done) < len(steps):
        free = [name for name in steps if name not in done and waits[name] <= done.keys()]
        if not free:
            raise_all([circle(wiring, {name: waits[name] for name in steps if name not in done})])
        done |= {name: steps[name] for name in free}
    return list(done.values())


def circle(wiring: Wiring, waits: Mapping[str, set[str]]) -> Fault:
    """Name the steps that wait for each other."""
    path = [next(iter(waits))]
    while path[-1] not in path[:-1]:
        path.append(min(waits[path[-1]] & waits.keys()))
    path = path[path.index(path[-1]) :]
    step = next(step for step in wiring.flow.steps if step.id == path[0])
    return fault(wiring.where(step, "with"), f"these steps wait for each other: {' → '.join(reversed(path))}.")
