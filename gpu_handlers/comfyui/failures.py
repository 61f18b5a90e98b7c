"""What ComfyUI says when it fails, in our words."""

from collections.abc import Mapping
from typing import Any

from tools.errors import (
    Cancelled,
    ComfyuiCrashed,
    HandlerFailed,
    ModelMissing,
    NodeExecutionError,
    ObjectNotFound,
    OutOfMemory,
    ToolError,
)

#: Inputs of loaders that name a file, and the folder under models/ where ComfyUI looks for it.
FOLDERS = {
    "UNETLoader.unet_name": "diffusion_models",
    "CLIPLoader.clip_name": "text_encoders",
    "DualCLIPLoader.clip_name1": "text_encoders",
    "DualCLIPLoader.clip_name2": "text_encoders",
    "VAELoader.vae_name": "vae",
    "CLIPVisionLoader.clip_name": "clip_vision",
    "LoraLoader.lora_name": "loras",
    "Florence2ModelLoader.model": "LLM",
    "DownloadAndLoadSAM2Model.model": "sam2",
}

#: How our own node begins when the detector has found nothing.
NOT_FOUND = "OBJECT_NOT_FOUND"

#: What a node says that would fetch its model now, and may not.
OFFLINE = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")

#: What a CUDA context says that will do no more work: only a new process helps.
BROKEN = ("CUDA error:", "CUBLAS_STATUS", "device-side assert")


def missing(file: str, folder: str) -> ModelMissing:
    """Name a model file that is not where ComfyUI looks for it."""
    sentence = f"The model file {file} is not in models/{folder} of ComfyUI: `packshot models` says where it is from."
    return ModelMissing(sentence, {"file": file, "folder": folder})


def missing_node(cls: str) -> ModelMissing:
    """Name a node that is not installed."""
    sentence = f"ComfyUI has no node {cls}: `packshot models` says which custom nodes it needs."
    return ModelMissing(sentence, {"node": cls})


def refusal(graph: Mapping[str, Mapping[str, Any]], said: Mapping[str, Any]) -> ToolError:
    """Turn the body of a refused graph into an error."""
    about = said.get("error", {})
    if about.get("type") == "missing_node_type":
        return missing_node(str(about.get("extra_info", {}).get("class_type")))
    for node_id, node in said.get("node_errors", {}).items():
        for error in node["errors"]:
            return refused_input(node_id, node.get("class_type") or graph[node_id]["class_type"], error)
    return HandlerFailed(
        f"ComfyUI refused the graph: {about.get('message', 'it did not say why')}.", {"comfyui": about}
    )


def refused_input(node_id: str, cls: str, error: Mapping[str, Any]) -> ToolError:
    """Turn the first error of a node into one of ours: a file that is not there, or a fault of ours."""
    info = error.get("extra_info", {})
    folder = FOLDERS.get(f"{cls}.{info.get('input_name')}")
    if error["type"] == "value_not_in_list" and folder:
        return missing(str(info["received_value"]), folder)
    sentence = f"ComfyUI refused node {node_id} ({cls}): {error['message']}: {error['details']}."
    return HandlerFailed(sentence, {"node": node_id, "node_type": cls, "comfyui": error["type"]})


def failure(entry: Mapping[str, Any]) -> ToolError | None:
    """Turn the history of an ended graph into an error; None if it succeeded."""
    told = dict(reversed(entry["status"]["messages"]))
    if "execution_interrupted" in told:
        return Cancelled()
    if "execution_error" in told:
        return broken_node(told["execution_error"])
    if entry["status"]["status_str"] != "success":
        return NodeExecutionError("ComfyUI failed and did not say why: try again.")
    return None


def broken_node(said: Mapping[str, Any]) -> ToolError:
    """Turn a node's exception into an error. Its traceback stays here: it is full of paths and tensors."""
    kind, text = str(said["exception_type"]), str(said["exception_message"]).strip()
    where = {"node": said["node_id"], "node_type": said["node_type"]}
    if text.startswith(NOT_FOUND):
        return ObjectNotFound(
            "Nothing of that name was found: name it otherwise, or send a picture that it fills more."
        )
    if kind.endswith("OutOfMemoryError") or "ran out of memory" in text:
        return OutOfMemory(None, where)
    if kind.endswith(OFFLINE):
        sentence = f"{said['node_type']} lacks its model file: `packshot models` says which, and where it is from."
        return ModelMissing(sentence, where)
    if any(sign in text for sign in BROKEN):
        return ComfyuiCrashed(f"The GPU failed in ComfyUI, which must be started anew: {text[:200]}", where)
    sentence = f"Node {said['node_id']} ({said['node_type']}) failed in ComfyUI: {kind}: {text[:300]}"
    return NodeExecutionError(sentence, {**where, "exception": kind})
