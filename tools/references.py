"""References: `${gen.r2_path}` names a field of a result, as a whole value or inside of a text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.errors import InvalidInput

#: ${gen.generation_params.seed} by a step's name, ${0.r2_path} by position, ${gen} for the whole result.
REFERENCE = re.compile(r"\$\{(\w+)(?:\.([\w.]+))?\}")

#: Digits of a number in a path: of more, Python reads none at some length.
LONGEST_INDEX = 9


@dataclass(frozen=True)
class Handed:
    """A result that was handed on: its values, and the tool that gave it (None: not one of ours).

    The values of a step that was spread over many jobs are a list, with None for each that gave nothing.
    """

    tool: str | None
    values: Any

    @property
    def members(self) -> list[Mapping[str, Any]]:
        """The results one by one."""
        return [each for each in self.values if each] if isinstance(self.values, list) else [self.values]


#: Names (step ids in a flow, positions in a canvas) → results; None for a step that was skipped.
Upstream = Mapping[str, Handed | None]


def find(value: Any) -> Iterator[re.Match[str]]:
    """Find all references in a value, inside of lists and texts too."""
    if isinstance(value, str):
        yield from REFERENCE.finditer(value)
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from find(inner)


def whole(value: Any) -> re.Match[str] | None:
    """Match a value that is nothing but a reference."""
    return REFERENCE.fullmatch(value) if isinstance(value, str) else None


def read(name: str, value: Any, upstream: Upstream, *, leave: bool = False) -> Any:
    """Read the references in a value; any other is itself.

    Args:
        name: The field to blame.
        value: Plain JSON.
        upstream: What can be named.
        leave: Leave what names another step as it stands.

    Raises:
        InvalidInput: a reference leads nowhere.
    """
    if found := whole(value):
        return value if leave and found[1] not in upstream else look_up(name, found, upstream)
    if isinstance(value, str) and upstream:
        known = upstream if leave else None
        return REFERENCE.sub(
            lambda found: found[0] if known and found[1] not in known else insert(name, found, upstream), value
        )
    if isinstance(value, list):
        return [inner for each in value for inner in read_member(name, each, upstream, leave=leave)]
    return value


def read_member(name: str, value: Any, upstream: Upstream, *, leave: bool) -> list[Any]:
    """Read a member of a list: none of a step that was skipped, and all of a step that was spread."""
    found = whole(value)
    if found and found[1] in upstream and upstream[found[1]] is None:
        return []
    told = read(name, value, upstream, leave=leave)
    return told if found and isinstance(told, list) else [told]


def insert(name: str, found: re.Match[str], upstream: Upstream) -> str:
    """Write what a reference inside of a text stands for."""
    told = look_up(name, found, upstream)
    if isinstance(told, bool) or not isinstance(told, str | int | float):
        raise InvalidInput.at(name, f"{found[0]} is neither a text nor a number, so it cannot stand inside of a text.")
    return str(told)


def look_up(name: str, found: re.Match[str], upstream: Upstream) -> Any:
    """Read one reference."""
    step, path = found.groups()
    if step not in upstream:
        known = ", ".join(upstream) or "none"
        raise InvalidInput.at(name, f"{found[0]} names a step that is not before this one (before it: {known}).")
    handed = upstream[step]
    if handed is None:
        raise InvalidInput.at(name, f"{found[0]} names a step that was skipped.")
    return walk(name, found[0], handed.values, path.split(".") if path else [])


def walk(name: str, reference: str, values: Any, path: list[str]) -> Any:
    """Follow a path into a result; through a list by a number, or by a name into each of its members."""
    for n, key in enumerate(path):
        if isinstance(values, list) and not is_index(key):
            return [walk(name, reference, each, path[n:]) for each in values if each is not None]
        values = step_into(name, reference, values, key)
    return [each for each in values if each is not None] if isinstance(values, list) else values


def is_index(key: str) -> bool:
    """Tell whether part of a path counts members: by digits that `int` reads, and it reads neither ² nor a long row."""
    return key.isascii() and key.isdigit() and len(key) <= LONGEST_INDEX


def step_into(name: str, reference: str, values: Any, key: str) -> Any:
    """Take one step of a path."""
    if isinstance(values, list) and is_index(key):
        if int(key) < len(values) and values[int(key)] is not None:
            return values[int(key)]
        raise InvalidInput.at(name, f"{reference} names a result that is not there: there are {len(values)}, from 0.")
    if not isinstance(values, Mapping) or key not in values:
        known = list(values) if isinstance(values, Mapping) else []
        raise InvalidInput.at(name, f"{reference} names no field of that result.", suggestions=known)
    return values[key]
