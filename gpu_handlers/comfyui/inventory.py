"""What ComfyUI must have for a graph: each node, and each model file that a loader names."""

from collections.abc import Mapping
from typing import Any

from gpu_handlers.comfyui.failures import FOLDERS, missing, missing_node
from gpu_handlers.comfyui.wire import Graph, Wire


def check(wire: Wire, graph: Graph) -> None:
    """Ask ComfyUI for the nodes and files of a graph. Raises ModelMissing, which names the first that is not there."""
    classes = {node["class_type"] for node in graph.values()}
    known = {cls: wire.node(cls) for cls in sorted(classes)}
    for cls, info in known.items():
        if info is None:
            raise missing_node(cls)
    for node in graph.values():
        check_files(node, known[node["class_type"]] or {})


def check_files(node: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    """Compare the files that a loader is told with those that it can see."""
    for name, value in node["inputs"].items():
        folder = FOLDERS.get(f"{node['class_type']}.{name}")
        if folder and str(value) not in options(info, name):
            raise missing(str(value), folder)


def options(info: Mapping[str, Any], name: str) -> list[str]:
    """List what an input may be, in the older and the newer way of saying it."""
    kind, *more = info["input"]["required"][name]
    listed: list[str] = kind if isinstance(kind, list) else more[0]["options"]
    return listed
