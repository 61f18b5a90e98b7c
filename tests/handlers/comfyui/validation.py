"""What ComfyUI refuses, with its own words: it knows classes, inputs, bounds, links and files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Graph = Mapping[str, Mapping[str, Any]]

#: A real server's own definitions of the nodes that our graphs use, without its prose.
OBJECT_INFO: dict[str, Any] = json.loads((Path(__file__).parent / "object_info.json").read_bytes())

#: How a literal of each type is read; whatever else must come by a link.
READERS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


class Refused(Exception):
    """A whole body of a 400."""

    def __init__(self, kind: str, message: str, details: str = "", info: dict[str, Any] | None = None) -> None:
        error = {"type": kind, "message": message, "details": details, "extra_info": info or {}}
        self.body: dict[str, Any] = {"error": error, "node_errors": {}}


class Faulty(Exception):
    """One thing that is wrong with one node."""

    def __init__(self, kind: str, message: str, details: str, **info: Any) -> None:
        self.error = {"type": kind, "message": message, "details": details, "extra_info": info}


class Validator:
    """Checks graphs against what is installed."""

    def __init__(self, info: dict[str, Any], exists: Callable[[str], bool]) -> None:
        self.info, self.exists = info, exists

    def check(self, graph: Graph) -> tuple[list[str], dict[str, Any]]:
        """Give the outputs that can be run, and what is wrong with the others. Raises Refused if none can."""
        self.check_classes(graph)
        outputs = [key for key, node in graph.items() if self.info[node["class_type"]]["output_node"]]
        if not outputs:
            raise Refused("prompt_no_outputs", "Prompt has no outputs")
        wrong: dict[str, Any] = {}
        good = [output for output in outputs if self.is_good(graph, output, wrong)]
        if not good:
            refused = Refused("prompt_outputs_failed_validation", "Prompt outputs failed validation")
            refused.body["node_errors"] = wrong
            raise refused
        return good, wrong

    def check_classes(self, graph: Graph) -> None:
        for key, node in graph.items():
            cls = node.get("class_type")
            if cls not in self.info:
                title = node.get("_meta", {}).get("title", cls)
                raise Refused(
                    "missing_node_type", f"Node '{title}' not found. The custom node may not be installed.",
                    f"Node ID '#{key}'", {"node_id": key, "class_type": cls, "node_title": title},
                )  # fmt: skip

    def is_good(self, graph: Graph, output: str, wrong: dict[str, Any]) -> bool:
        """Look at all that an output is made from."""
        seen: set[str] = set()
        bad = [node for node in self.upstream(graph, output, seen) if (errors := self.faults(graph, node)) and
               self.blame(wrong, graph, node, errors, output)]  # fmt: skip
        return not bad

    def upstream(self, graph: Graph, node: str, seen: set[str]) -> list[str]:
        if node in seen or node not in graph:
            return []
        seen.add(node)
        links = [value[0] for value in graph[node]["inputs"].values() if is_link(value)]
        return [found for link in links for found in self.upstream(graph, link, seen)] + [node]

    def blame(self, wrong: dict[str, Any], graph: Graph, node: str, errors: list[Any], output: str) -> bool:
        entry = wrong.setdefault(node, {"errors": errors, "dependent_outputs": [],
                                        "class_type": graph[node]["class_type"]})  # fmt: skip
        entry["dependent_outputs"].append(output)
        return True

    def faults(self, graph: Graph, key: str) -> list[dict[str, Any]]:
        node, found = graph[key], []
        told = self.info[node["class_type"]]["input"]
        known = {**told.get("required", {}), **told.get("optional", {})}
        for name, spec in known.items():
            try:
                self.check_input(graph, key, name, spec, needed=name in told["required"])
            except Faulty as fault:
                found.append(fault.error)
        # ComfyUI itself passes over inputs that it does not know; what we misspell shall not pass here.
        strange = node["inputs"].keys() - known.keys()
        return found + [Faulty("unknown_input", "Unknown input", name, input_name=name).error for name in strange]

    def check_input(self, graph: Graph, key: str, name: str, spec: list[Any], *, needed: bool) -> None:
        if name not in graph[key]["inputs"]:
            if needed:
                raise Faulty("required_input_missing", "Required input is missing", name, input_name=name)
            return
        value = graph[key]["inputs"][name]
        kind, limits = spec[0], spec[1] if len(spec) > 1 else {}
        if is_link(value):
            self.check_link(graph, key, name, kind, value)
        elif isinstance(kind, list) or kind == "COMBO":
            self.check_choice(
                graph[key]["class_type"], name, kind if isinstance(kind, list) else limits["options"], value
            )
        elif kind in READERS:
            check_literal(name, kind, limits, value)
        else:
            raise Faulty("bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                         name, input_name=name, received_value=value)  # fmt: skip

    def check_link(self, graph: Graph, key: str, name: str, kind: Any, link: list[Any]) -> None:
        if link[0] not in graph:
            raise Faulty("exception_during_inner_validation", "Exception when validating inner node", f"'{link[0]}'",
                         input_name=name, exception_message=f"'{link[0]}'", exception_type="KeyError",
                         linked_node=[key, 0])  # fmt: skip
        given = self.info[graph[link[0]]["class_type"]]["output"][link[1]]
        if given != kind:
            raise Faulty("return_type_mismatch", "Return type mismatch between linked nodes",
                         f"{name}, received_type({given}) mismatch input_type({kind})",
                         input_name=name, received_type=given, linked_node=link)  # fmt: skip

    def check_choice(self, cls: str, name: str, options: list[Any], value: Any) -> None:
        if cls == "LoadImage":
            if not self.exists(value):
                raise Faulty("custom_validation_failed", "Custom validation failed for node",
                             f"{name} - Invalid image file: {value}", input_name=name)  # fmt: skip
        elif value not in options:
            raise Faulty("value_not_in_list", "Value not in list", f"{name}: {value!r} not in {options}",
                         input_name=name, received_value=value)  # fmt: skip


def check_literal(name: str, kind: str, limits: Mapping[str, Any], value: Any) -> None:
    try:
        read = READERS[kind](value)
    except (TypeError, ValueError) as error:
        raise Faulty("invalid_input_type", f"Failed to convert an input value to a {kind} value",
                     f"{name}, {value}, {error}", input_name=name, received_value=value,
                     exception_message=str(error)) from error  # fmt: skip
    if "min" in limits and read < limits["min"]:
        raise Faulty("value_smaller_than_min", f"Value {read} smaller than min of {limits['min']}", name,
                     input_name=name, received_value=value)  # fmt: skip
    if "max" in limits and read > limits["max"]:
        raise Faulty("value_bigger_than_max", f"Value {read} bigger than max of {limits['max']}", name,
                     input_name=name, received_value=value)  # fmt: skip


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
