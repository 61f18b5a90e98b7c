"""Flows that ship with the house, and run with nothing but their inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tools.contract import Params
from tools.errors import InvalidInput, MissingInput, UnknownField
from tools.flow import INPUTS
from tools.generate import GenerateParams
from tools.video import VideoParams


@dataclass(frozen=True)
class Named:
    """A flow with holes: the inputs that must be given, and those that may."""

    name: str
    summary: str
    steps: list[dict[str, Any]]
    required: Mapping[str, str]
    optional: Mapping[str, Any] = field(default_factory=dict)


def step(name: str, told: dict[str, Any], tool: str = "", **more: Any) -> dict[str, Any]:
    """Write one step down; its tool is its name, if it has no other."""
    return {"id": name, "tool": tool or name, "with": told, **more}


def default(params: type[Params], name: str) -> Any:
    """Read a default where it lives."""
    return params.model_fields[name].default


SIZES = {
    "width": default(GenerateParams, "width"), "height": default(GenerateParams, "height"),
    "video_width": default(VideoParams, "width"), "video_height": default(VideoParams, "height"),
    "length": default(VideoParams, "length"),
}  # fmt: skip
SIZE = {"width": "${inputs.width}", "height": "${inputs.height}"}
FRAME = {"width": "${inputs.video_width}", "height": "${inputs.video_height}", "length": "${inputs.length}"}

TEMPLATE = "Id of the template that gives the prompt."
REFERENCE = "A picture of the product, to be put into the scene."
WORD = "The word that means the product."


def follow(model: str, word: str) -> list[dict[str, Any]]:
    """Write down the way from a model and its word to two films: of the picture, and of the product put into it."""
    return [
        step("resolve_template", {"template_id": "${inputs.template_id}", "trigger_word": word}),
        step("generate", {"model_id": model, "prompt": "${resolve_template.resolved_prompt}", **SIZE}),
        step("mask", {"image_url": "${generate.r2_path}", "object_name": word}),
        step("inpaint", {"scene_url": "${mask.r2_path}", "reference_url": "${inputs.reference_url}"}),
        step("video", {"image_url": "${inpaint.r2_path}", **FRAME}),
        step("video_of_image", {"image_url": "${generate.r2_path}", **FRAME}, "video"),
    ]


TRAINING = step(
    "train",
    {"images": "${inputs.images}", "model_name": "${inputs.model_name}", "trigger_word": "${inputs.trigger_word}"},
)

NAMED = {
    flow.name: flow
    for flow in (
        Named(
            "film-from-model", "From a trained model to films of the product.",
            follow("${inputs.model_id}", "${inputs.trigger_word}"),
            {"model_id": "Id of a trained model.", "trigger_word": WORD, "template_id": TEMPLATE,
             "reference_url": REFERENCE}, SIZES,
        ),
        Named(
            "film-from-photos", "From photos of a product to films of it: trains a model first.",
            [TRAINING, *follow("${train.model_id}", "${train.trigger_word}")],
            {"images": "A zip of photos in the bucket.", "model_name": "What you call the model.",
             "trigger_word": WORD, "template_id": TEMPLATE, "reference_url": REFERENCE}, SIZES,
        ),
    )
}  # fmt: skip


def complete(body: dict[str, Any]) -> dict[str, Any]:
    """Put the steps of the flow that is named into a request that has none.

    Raises:
        InvalidInput: there is no such flow; also as missing_input, unknown_field: its inputs are others.
    """
    name, given = body.get("name"), body.get(INPUTS, {})
    if "steps" in body or not isinstance(name, str) or not isinstance(given, dict):
        return body
    if name not in NAMED:
        near = get_close_matches(name, NAMED, n=2, cutoff=0.4) or list(NAMED)
        said = f"there is no flow of that name, and no steps are given. Did you mean {' or '.join(near)}?"
        raise InvalidInput.at("name", said, suggestions=near)
    flow = NAMED[name]
    check_inputs(flow, given)
    return {**body, INPUTS: {**flow.optional, **given}, "steps": flow.steps}


def check_inputs(flow: Named, given: Mapping[str, Any]) -> None:
    """Refuse inputs that are not those of the flow."""
    known = [*flow.required, *flow.optional]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=2, cutoff=0.5) or known
            said = f"{flow.name} has no such input. Did you mean {' or '.join(near)}?"
            raise UnknownField.at(f"{INPUTS}/{name}", said, suggestions=near)
    for name, text in flow.required.items():
        if name not in given:
            raise MissingInput.at(f"{INPUTS}/{name}", f"{flow.name} needs it: {text}")
