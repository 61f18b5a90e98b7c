"""What a job is told: what is given wins, a reference is read, a gap is filled by kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_origin

from tools import catalog
from tools.contract import Params, Tool
from tools.errors import AmbiguousInput, MissingInput
from tools.kinds import Kind
from tools.references import Handed, Upstream, read

#: How to choose between results: by the name of a step in a flow, by position in a canvas.
WHICH = "say which by a reference, such as ${gen.r2_path} or ${0.r2_path}."


def bind(
    tool: Tool, given: Mapping[str, Any], upstream: Upstream | None = None, further: Sequence[Iterable[Handed]] = (),
    scope: Upstream | None = None,
) -> Params:  # fmt: skip
    """Make the params of a job.

    Args:
        tool: What is asked for.
        given: Plain JSON from the caller; may hold references.
        upstream: The results of the steps directly before.
        further: The results of the steps before those, nearest first; only words and ids are taken from them.
        scope: What else references can name; no gap is filled from it.

    Raises:
        InvalidInput: also as missing_input, ambiguous_input or unknown_field; names the fields.
    """
    upstream = upstream or {}
    known = {**upstream, **(scope or {})}
    bound = {name: read(name, value, known) for name, value in given.items()}
    return tool.check(bound | fill_gaps(tool, bound, upstream, further))


def inherits(tool: Tool, given: Mapping[str, Any]) -> bool:
    """Tell whether a word or an id may have to be taken from further back."""
    return any(kind.inherited and name not in given for name, kind in tool.takes.items())


def fill_gaps(
    tool: Tool, given: Mapping[str, Any], upstream: Upstream, further: Sequence[Iterable[Handed]] = ()
) -> dict[str, Any]:
    """Fill what is not given from the results that were handed on. Raises MissingInput, AmbiguousInput."""
    direct = [handed for handed in upstream.values() if handed]
    filled: dict[str, Any] = {}
    for name, kind in tool.takes.items():
        if name not in given and not kind.explicit:
            filled |= fill(tool, name, kind, [direct, *further])
    return filled


def fill(tool: Tool, name: str, kind: Kind, levels: Sequence[Iterable[Handed]]) -> dict[str, Any]:
    """Fill a gap from the nearest step that gives this kind: {} if none does and it may stay open."""
    for level in levels if kind.inherited else levels[:1]:
        found = list(offers(name, kind, level))
        if found and get_origin(tool.params.model_fields[name].annotation) is list:
            return {name: found}
        if len(found) > 1:
            raise AmbiguousInput.at(name, f"{len(found)} results give {kind.name}: {WHICH}")
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
    for tool, values in ((handed.tool, values) for handed in level for values in handed.members):
        fields = catalog.find(tool).gives if tool else {name: kind}
        for field, given in fields.items():
            value = values.get(field)
            if given.name == kind.name and value is not None and value not in seen:
                seen.append(value)
                yield value
