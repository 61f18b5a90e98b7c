"""What a job is told: what is given wins, a reference is read, a gap is filled by kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools import catalog
from tools.contract import Params, Tool
from tools.errors import AmbiguousInput, InvalidInput, MissingInput
from tools.kinds import Kind
from tools.refusal import REFERENCE


@dataclass(frozen=True)
class Handed:
    """A result that was handed on: its values, and the tool that gave it (None: not one of ours)."""

    tool: str | None
    values: Mapping[str, Any]


#: Names (step ids in a flow, positions in a canvas) → results.
Upstream = Mapping[str, Handed]


def bind(
    tool: Tool, given: Mapping[str, Any], upstream: Upstream | None = None, further: Sequence[Iterable[Handed]] = ()
) -> Params:
    """Make the params of a job.

    Args:
        tool: What is asked for.
        given: Plain JSON from the caller; may hold references.
        upstream: The results of the steps directly before.
        further: The results of the steps before those, nearest first; only words and ids are taken from them.

    Raises:
        InvalidInput: also as missing_input, ambiguous_input or unknown_field; names the fields.
    """
    upstream = upstream or {}
    bound = {name: read(name, value, upstream) for name, value in given.items()}
    for name, kind in tool.takes.items():
        if name not in bound and not kind.explicit:
            bound |= fill(tool, name, kind, [upstream.values(), *further])
    return tool.check(bound)


def read(name: str, value: Any, upstream: Upstream) -> Any:
    """Read a reference; any other value is itself."""
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return value
    step, path = found.groups()
    if step not in upstream:
        known = ", ".join(upstream) or "none"
        raise InvalidInput.at(name, f"{value} names a step that is not before this one (before it: {known}).")
    return walk(name, value, upstream[step].values, path.split("."))


def walk(name: str, reference: str, values: Any, path: list[str]) -> Any:
    """Follow a path into a result."""
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            known = list(values) if isinstance(values, Mapping) else []
            raise InvalidInput.at(name, f"{reference} names no field of that result.", suggestions=known)
        values = values[key]
    return values


def fill(tool: Tool, name: str, kind: Kind, levels: Sequence[Iterable[Handed]]) -> dict[str, Any]:
    """Fill a gap from the nearest step that gives this kind: {} if none does and it may stay open."""
    for level in levels if kind.inherited else levels[:1]:
        found = list(offers(name, kind, level))
        if len(found) > 1:
            raise AmbiguousInput.at(name, f"{len(found)} steps give {kind.name}: say which, as ${{0.r2_path}}.")
        if found:
            return {name: found[0]}
    if not tool.params.model_fields[name].is_required():
        return {}
    before = " or ".join(catalog.givers(kind.name)) or "nothing"
    advice = f"wants {kind.name}: give it, or put {before} before {tool.name}."
    raise MissingInput(f"{tool.name}.{name} {advice}", MissingInput.at(name, advice).details)


def offers(name: str, kind: Kind, level: Iterable[Handed]) -> Iterator[Any]:
    """List the different values that these results offer to a field."""
    seen: list[Any] = []
    for handed in level:
        fields = catalog.find(handed.tool).gives if handed.tool else {name: kind}
        for field, given in fields.items():
            value = handed.values.get(field)
            if given.name == kind.name and value is not None and value not in seen:
                seen.append(value)
                yield value
