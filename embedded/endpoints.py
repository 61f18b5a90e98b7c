"""`packshot endpoints`: how many workers RunPod may run for each tool."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from settings import settings
from tasks.remotes import endpoint, wire
from tools.errors import InvalidInput, Unavailable


def scale(tools: Sequence[str], wanted: Mapping[str, int | None]) -> Iterator[str]:
    """Change what is wanted of the tools' endpoints, and say how each is then, as RunPod tells it."""
    known = settings().endpoints
    if not known:
        raise InvalidInput("No tool is done at RunPod: name its endpoints in RUNPOD_ENDPOINTS.")
    if (unknown := next((tool for tool in tools if tool not in known), None)) is not None:
        raise InvalidInput(f"{unknown} is not done at RunPod: RUNPOD_ENDPOINTS names {', '.join(known)}.")
    changes = {name: number for name, number in wanted.items() if number is not None}
    try:
        for tool in tools or known:
            yield describe(tool, known[tool], set_and_read(known[tool], changes))
    finally:
        wire.close()


def set_and_read(name: str, changes: Mapping[str, int]) -> Mapping[str, Any]:
    """Change an endpoint, and read it afterwards: an answer to the change proves nothing."""
    if changes:
        told(name, wire.wait(endpoint.set_scale(name, changes)))
    return told(name, wire.wait(endpoint.read_scale(name)))


def told(name: str, reply: endpoint.Reply) -> Mapping[str, Any]:
    """Give what RunPod said, if it said yes. Raises Unavailable."""
    match reply:
        case endpoint.Gone():
            raise Unavailable(f"RunPod has no endpoint {name}: correct RUNPOD_ENDPOINTS.")
        case endpoint.Refused(why=why) | endpoint.Unclear(why=why):
            raise Unavailable(f"RunPod did not do it for {name} ({why}): look at RUNPOD_API_KEY, then try again.")
        case said:
            return said


def describe(tool: str, name: str, said: Mapping[str, Any]) -> str:
    """Describe an endpoint in a line."""
    gpus = ", ".join(said.get("gpuTypeIds") or []) or "no GPU told"
    return f"{tool:<12} {name}: {said.get('workersMin')} to {said.get('workersMax')} workers ({gpus})"
