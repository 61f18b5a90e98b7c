"""A graph of ours with values in it: read from its file, and filled by assignment, never as text."""

import json
from collections.abc import Mapping
from typing import Any

from gpu_handlers.comfyui.manifest import ROOM
from gpu_handlers.comfyui.wire import Graph


def fill(tool: str, name: str, values: Mapping[str, Mapping[str, Any]]) -> Graph:
    """Read a tool's graph and set inputs of its nodes. Raises KeyError for one that it does not have."""
    graph: Graph = json.loads((ROOM / tool / name).read_bytes())
    for node, inputs in values.items():
        if strange := inputs.keys() - graph[node]["inputs"].keys():
            raise KeyError(f"node {node} of {tool}/{name} has no input {strange}")
        graph[node]["inputs"] |= inputs
    return graph
