"""What the fields of tools carry, and what may stay open until it is handed on."""

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from tests.tools.seed import LEAST, OURS
from tools.contract import Settings, kinds
from tools.errors import InvalidInput
from tools.kinds import Image, Lora


class Both(BaseModel):
    plain: Image
    optional: Lora | None = None
    bounded: Annotated[Image, Field(max_length=5)]
    bare: str


def test_a_kind_is_found_on_the_field_and_inside_an_alternative() -> None:
    assert {name: kind.name for name, kind in kinds(Both).items()} == {
        "plain": "image", "optional": "lora", "bounded": "image",
    }  # fmt: skip


def test_a_kind_is_seen_in_the_schema() -> None:
    def shown(schema: Mapping[str, Any]) -> dict[str, str]:
        arms = {name: {**field.get("anyOf", [field])[0], **field} for name, field in schema["properties"].items()}
        return {name: arm["x-kind"] for name, arm in arms.items() if "x-kind" in arm}

    for tool in OURS.values():
        assert shown(tool.params.model_json_schema()) == {name: kind.name for name, kind in tool.takes.items()}
        assert shown(tool.result.model_json_schema(mode="serialization")) == {
            name: kind.name for name, kind in tool.gives.items()
        }


def test_what_is_taken_and_given_is_what_the_seeds_arrows_say() -> None:
    arrows = {
        tool.name: ({kind.name for kind in tool.takes.values()}, {kind.name for kind in tool.gives.values()})
        for tool in OURS.values()
    }
    assert arrows == {
        "train": ({"dataset"}, {"lora", "trigger_word"}),
        "resolve_template": ({"template", "trigger_word"}, {"prompt", "trigger_word"}),
        "generate": ({"lora", "prompt"}, {"image"}),
        "mask": ({"image", "object"}, {"masked_scene"}),
        "inpaint": ({"masked_scene", "image"}, {"image"}),
        "video": ({"image"}, {"video"}),
    }
    inherited = {kind.name for tool in OURS.values() for kind in tool.takes.values() if kind.inherited}
    assert inherited == {"lora", "prompt", "trigger_word"}


def test_only_training_makes_a_model() -> None:
    assert [tool.name for tool in OURS.values() if tool.trains] == ["train"]


def test_a_result_shows_settings_and_never_a_whole_param_set() -> None:
    for tool in OURS.values():
        shown = [info.annotation for info in tool.result.model_fields.values() if isinstance(info.annotation, type)]
        for part in [part for part in shown if issubclass(part, Settings)]:
            assert part is not tool.params
            assert issubclass(tool.params, part)


@pytest.mark.parametrize(
    "given",
    [
        {"object_name": "shoe"},
        {"image_url": "${0.r2_path}", "object_name": "shoe"},
        {"object_name": "shoe", "seed": "${gen.generation_params.seed}"},
        LEAST["mask"],
    ],
)
def test_what_can_still_be_filled_or_read_is_let_pass(given: dict[str, Any]) -> None:
    OURS["mask"].check_given(given)


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({}, ["/object_name"]),
        ({"object": "shoe"}, ["/object_name", "/object"]),
        ({"mask_blur": -1, "object_name": "x"}, ["/mask_blur"]),
        ({"mask_blur": "see ${0.seed}", "object_name": "x"}, ["/mask_blur"]),
        ({"image_url": 5, "object_name": "x"}, ["/image_url"]),
        ({"mask_blur": float("nan"), "object_name": "x"}, ["/mask_blur"]),
        ({"object_name": "", "seed": "${0.seed}", "colour": 1}, ["/object_name", "/colour"]),
    ],
)
def test_what_no_later_step_can_mend_is_refused_at_once(given: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        OURS["mask"].check_given(given)
    assert [error["pointer"] for error in caught.value.details["errors"]] == pointers
