"""What can come next: the tools that take what a job has given, with the body of their call begun."""

from collections.abc import Iterator, Mapping
from typing import Any

from tools import catalog
from tools.contract import Tool


def list_next(tool: str, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List `{tool, body, missing}`: what is filled from the result, and what is still to be given."""
    if tool not in catalog.TOOLS:
        return []
    offered = {kind.name: result.get(name) for name, kind in catalog.find(tool).gives.items()}
    return list(begin_calls({kind: value for kind, value in offered.items() if value is not None}))


def begin_calls(offered: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Begin the call of each tool that takes something of what is offered."""
    for tool in catalog.TOOLS.values():
        taken = {name: kind.name for name, kind in tool.takes.items() if not kind.explicit}
        body = {name: offered[kind] for name, kind in taken.items() if kind in offered}
        if body:
            yield {"tool": tool.name, "body": body, "missing": list_missing(tool, body)}


def list_missing(tool: Tool, body: Mapping[str, Any]) -> list[str]:
    """Name the params that must be given and are not."""
    return [name for name, info in tool.params.model_fields.items() if info.is_required() and name not in body]
