"""How far a graph is: from what its nodes say, with the samplers weighing most."""

from collections.abc import Mapping
from typing import Any

#: What a node counts for; a sampler does nearly all of the work.
SAMPLER, OTHER = 20.0, 1.0

#: What we say while a class of nodes runs. Those that are missing prepare.
STAGES = {
    "KSampler": "sampling",
    "KSamplerAdvanced": "sampling",
    "SamplerCustomAdvanced": "sampling",
    "UNETLoader": "loading",
    "CLIPLoader": "loading",
    "DualCLIPLoader": "loading",
    "VAELoader": "loading",
    "LoraLoader": "loading",
    "CLIPVisionLoader": "loading",
    "Florence2ModelLoader": "loading",
    "DownloadAndLoadSAM2Model": "loading",
    "Florence2Run": "finding",
    "Sam2Segmentation": "segmenting",
    "GrowMaskWithBlur": "growing",
    "VAEDecode": "decoding",
    "SaveImage": "encoding",
    "SaveVideo": "encoding",
}

#: The part of a handler's work that the graph is.
FROM, TO = 0.05, 0.9


class Progress:
    """What the messages about one graph come to."""

    def __init__(self, graph: Mapping[str, Mapping[str, Any]]) -> None:
        self._stages = {node_id: STAGES.get(node["class_type"], "preparing") for node_id, node in graph.items()}
        self._weights = {node_id: SAMPLER if is_long(stage) else OTHER for node_id, stage in self._stages.items()}
        self._done: dict[str, float] = {}
        #: What runs now.
        self.stage = "queued"

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in a message; most tell nothing of progress."""
        if message["type"] == "execution_cached":
            self._done |= dict.fromkeys(message["data"]["nodes"], 1.0)
        elif message["type"] == "progress_state":
            nodes = message["data"]["nodes"]
            self._done |= {node: state["value"] / (state["max"] or 1) for node, state in nodes.items()}
            running = [node for node, state in nodes.items() if state["state"] == "running"]
            self.stage = self._stages.get(running[-1], "preparing") if running else self.stage

    @property
    def fraction(self) -> float:
        """How much of the handler's work is done, 0 to 1."""
        done = sum(weight * self._done.get(node, 0.0) for node, weight in self._weights.items())
        return FROM + (TO - FROM) * done / sum(self._weights.values())


def is_long(stage: str) -> bool:
    """Tell whether a stage is where the time goes."""
    return stage == "sampling"
