"""The contracts against the seed's tables, and the one door for params."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from pydantic_core import PydanticUndefined

from tools.catalog import TOOLS
from tools.contract import LARGEST_SEED, Settings, Tool, kinds
from tools.errors import InvalidInput, MissingInput, ToolError, UnknownField
from tools.kinds import Image, Lora

REQUIRED = PydanticUndefined

#: The seed's tables of parameters, to the letter; None is what it calls random. `mask_url` is ours.
SEED: dict[str, dict[str, Any]] = {
    "generate": {
        "model_id": REQUIRED, "prompt": REQUIRED, "lora_scale": 1.0, "num_inference_steps": 25, "width": 1024,
        "height": 1024, "seed": None, "guidance_scale": 1.0, "negative_prompt": "blurry, low quality, watermark",
    },
    "mask": {"image_url": REQUIRED, "object_name": REQUIRED, "seed": None, "mask_dilation": 50, "mask_blur": 50},
    "inpaint": {
        "scene_url": REQUIRED, "reference_url": REQUIRED, "prompt": "product on a surface", "seed": None, "steps": 4,
        "denoise": 1.0, "guidance": 4.0, "mask_url": None,
    },
    "video": {
        "image_url": REQUIRED, "prompt": "camera slowly circles around the product", "width": 832, "height": 480,
        "length": 33, "steps": 20, "seed": None,
    },
    "train": {
        "images": REQUIRED, "model_name": REQUIRED, "trigger_word": REQUIRED, "steps": 1000, "lr": 1e-4,
        "lora_rank": 16, "batch_size": 1, "resolution": 1024,
    },
    "resolve_template": {"template_id": REQUIRED, "trigger_word": REQUIRED},
}  # fmt: skip

#: The least that each tool must be given.
LEAST: dict[str, dict[str, Any]] = {
    "generate": {"model_id": 6, "prompt": "TOK_HANDBAG on a table"},
    "mask": {"image_url": "r2://packshot/uploads/a.png", "object_name": "headphone"},
    "inpaint": {"scene_url": "r2://packshot/masks/a.png", "reference_url": "https://example.com/b.jpg"},
    "video": {"image_url": "r2://packshot/generated/a.png"},
    "train": {"images": "r2://packshot/uploads/a.zip", "model_name": "Handbag", "trigger_word": "TOK_HANDBAG"},
    "resolve_template": {"template_id": "a", "trigger_word": "TOK_HANDBAG"},
}

#: The seed's bodies: their keys, in their order; of a part that shows settings, the keys of that part.
ANSWERS: dict[str, dict[str, Any]] = {
    "generate": {
        "success": True, "image_url": "/api/images/a.png", "r2_path": "r2://packshot/generated/a.png", "model_id": 6,
        "prompt": "TOK_HANDBAG on a table",
        "generation_params": ["lora_scale", "width", "height", "steps", "seed", "guidance_scale", "negative_prompt"],
        "duration_seconds": 45.2,
    },
    "mask": {
        "success": True, "image_url": "/api/masks/a.png", "r2_path": "r2://packshot/masks/a.png",
        "object_name": "headphone", "masking_params": ["seed", "mask_dilation", "mask_blur"], "duration_seconds": 12.3,
    },
    "inpaint": {
        "success": True, "image_url": "/api/inpainted/a.png", "r2_path": "r2://packshot/generated/a.png",
        "inpainting_params": ["prompt", "seed", "steps", "denoise", "guidance"], "duration_seconds": 25.1,
    },
    "video": {
        "success": True, "video_url": "/api/videos/a.mp4", "r2_path": "r2://packshot/generated/a.mp4",
        "video_params": ["prompt", "seed", "width", "height", "length", "steps"], "duration_seconds": 120.5,
    },
    "train": {
        "model_id": 6, "job_id": "b", "model_name": "Handbag", "trigger_word": "TOK_HANDBAG", "status": "completed",
        "model_string": "r2://packshot/models/a.safetensors",
    },
    "resolve_template": {
        "template_id": "a", "template_name": "Girl with product", "original_prompt": "a trigger_keyword",
        "resolved_prompt": "a TOK_HANDBAG", "trigger_word": "TOK_HANDBAG",
    },
}  # fmt: skip

FIELDS = [(tool, name) for tool in TOOLS.values() for name in tool.params.model_fields]
few = settings(max_examples=20, deadline=None, database=None, derandomize=True)


def refused(tool: str, **given: Any) -> ToolError:
    """Give what the tool says to these, beside the least that it needs."""
    with pytest.raises(InvalidInput) as caught:
        TOOLS[tool].check({**LEAST[tool], **given})
    return caught.value


def errors(refusal: ToolError) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = refusal.details["errors"]
    return found


@pytest.mark.parametrize("tool", SEED)
def test_params_and_defaults_are_the_seeds(tool: str) -> None:
    fields = TOOLS[tool].params.model_fields
    assert {name: info.default for name, info in fields.items()} == SEED[tool]


def test_the_seed_names_every_tool() -> None:
    assert set(TOOLS) == set(SEED)


@pytest.mark.parametrize("tool", SEED)
def test_the_least_is_enough_and_nothing_less(tool: str) -> None:
    assert TOOLS[tool].check(LEAST[tool]).model_dump(exclude_unset=True) == LEAST[tool]
    for name in LEAST[tool]:
        with pytest.raises(MissingInput) as caught:
            TOOLS[tool].check({key: value for key, value in LEAST[tool].items() if key != name})
        assert [error["pointer"] for error in errors(caught.value)] == [f"/{name}"]


@pytest.mark.parametrize("tool", ANSWERS)
def test_an_answer_has_the_seeds_keys_in_the_seeds_order(tool: str) -> None:
    wanted = ANSWERS[tool]
    params = TOOLS[tool].check(LEAST[tool]).settle()
    known = {name: value for name, value in wanted.items() if not isinstance(value, list)}
    answer = TOOLS[tool].answer(params, **known, not_asked_for=1)
    assert list(answer) == list(wanted)
    for name, value in wanted.items():
        assert (list(answer[name]) if isinstance(value, list) else answer[name]) == value


def test_settings_are_shown_as_they_were_used_and_steps_under_its_other_name() -> None:
    params = TOOLS["generate"].check({**LEAST["generate"], "num_inference_steps": 7, "seed": 12345, "lora_scale": 0.5})
    shown = TOOLS["generate"].answer(params, image_url="", r2_path="", duration_seconds=0.0)["generation_params"]
    assert shown == {
        "lora_scale": 0.5, "width": 1024, "height": 1024, "steps": 7, "seed": 12345, "guidance_scale": 1.0,
        "negative_prompt": "blurry, low quality, watermark",
    }  # fmt: skip


@pytest.mark.parametrize(("tool", "name"), FIELDS, ids=[f"{tool.name}.{name}" for tool, name in FIELDS])
def test_every_field_says_what_it_is_and_how_far_it_goes(tool: Tool, name: str) -> None:
    schema = tool.params.model_json_schema()["properties"][name]
    assert schema["description"].endswith(".")
    assert "default" in schema or name in tool.params.model_json_schema()["required"]
    for arm in [arm for arm in schema.get("anyOf", [schema]) if arm["type"] != "null"]:
        if arm["type"] in {"integer", "number"}:
            assert {"minimum", "exclusiveMinimum"} & set(arm)
            assert "maximum" in arm
        else:
            assert arm["type"] == "string"
            assert "maxLength" in arm or arm["pattern"].endswith("{1,64}$")


@pytest.mark.parametrize(("tool", "name"), FIELDS, ids=[f"{tool.name}.{name}" for tool, name in FIELDS])
def test_what_is_at_the_edge_is_taken_and_what_is_beyond_is_refused(tool: Tool, name: str) -> None:
    schema = tool.params.model_json_schema()["properties"][name]
    arm = schema.get("anyOf", [schema])[0]
    step = arm.get("multipleOf", 1)
    if arm["type"] == "string":
        beyond = ["x" * (arm.get("maxLength", 64) + 1)]
        if "minLength" in arm:
            beyond.append("")
    else:
        low = arm.get("minimum", arm.get("exclusiveMinimum"))
        beyond = [low - step if "minimum" in arm else low, arm["maximum"] + step]
        small = {"width": 256, "height": 256} if "width" in tool.params.model_fields else {}
        params = tool.check({**LEAST[tool.name], **small, name: type(arm["maximum"])(arm["maximum"])})
        assert getattr(params, name) == arm["maximum"]
    for value in beyond:
        assert errors(refused(tool.name, **{name: value}))[0]["pointer"] == f"/{name}"


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("generate", {"model_id": "6"}),
        ("generate", {"model_id": True}),
        ("generate", {"model_id": 6.0}),
        ("generate", {"prompt": 5}),
        ("generate", {"prompt": None}),
        ("generate", {"width": "1024"}),
        ("generate", {"width": None}),
        ("generate", {"lora_scale": "1"}),
        ("generate", {"seed": 1.5}),
        ("mask", {"image_url": ["r2://packshot/uploads/a.png"]}),
        ("mask", {"object_name": {"name": "shoe"}}),
        ("train", {"trigger_word": "<lora:x:1>"}),
        ("train", {"trigger_word": "TOK_HANDBAG\n"}),
        ("train", {"lr": 0}),
    ],
)
def test_nothing_is_bent_into_its_type(tool: str, given: dict[str, Any]) -> None:
    [error] = errors(refused(tool, **given))
    assert error["pointer"] == f"/{next(iter(given))}"


def test_an_integer_is_a_number() -> None:
    assert TOOLS["generate"].check({**LEAST["generate"], "lora_scale": 1}).model_dump()["lora_scale"] == 1.0


@pytest.mark.parametrize(
    ("given", "meant"),
    [({"promt": "x"}, "prompt"), ({"guidance": 1.0}, "guidance_scale"), ({"negativ_prompt": ""}, "negative_prompt")],
)
def test_an_unknown_field_is_refused_with_the_one_that_was_meant(given: dict[str, Any], meant: str) -> None:
    refusal = refused("generate", **given)
    assert type(refusal) is UnknownField
    assert meant in errors(refusal)[0]["suggestions"]
    assert f"Did you mean {errors(refusal)[0]['suggestions'][0]}" in str(refusal)


def test_an_unknown_field_that_resembles_none_is_refused_without_a_guess() -> None:
    refusal = refused("mask", zzzz=1)
    assert str(refusal) == "zzzz: there is no such field."
    assert errors(refusal) == [{"pointer": "/zzzz", "code": "unknown_field", "detail": "there is no such field."}]


def test_every_bad_field_is_named_at_once() -> None:
    refusal = refused("generate", model_id="six", width=1000, colour="red")
    assert type(refusal) is InvalidInput
    assert [error["pointer"] for error in errors(refusal)] == ["/width", "/model_id", "/colour"]


@pytest.mark.parametrize(
    ("tool", "given", "legal"),
    [
        ("generate", {"width": 1000}, [992, 1008]),
        ("generate", {"height": 4095}, [4080, 4096]),
        ("video", {"width": 850}, [848, 864]),
        ("train", {"resolution": 1000}, [992, 1024]),
        ("video", {"length": 34}, [33, 37]),
        ("video", {"length": 120}, [117, 121]),
        ("video", {"length": 6}, [5, 9]),
    ],
)
def test_nothing_is_rounded_but_the_nearest_legal_values_are_named(
    tool: str, given: dict[str, Any], legal: list[int]
) -> None:
    refusal = refused(tool, **given)
    assert errors(refusal)[0]["suggestions"] == legal
    assert f"Did you mean {legal[0]} or {legal[1]}?" in str(refusal)
    for value in legal:
        TOOLS[tool].check({**LEAST[tool], next(iter(given)): value})


@pytest.mark.parametrize(
    ("tool", "largest", "beyond"),
    [
        ("generate", {"width": 2048, "height": 2048}, {"width": 2048, "height": 2064}),
        ("generate", {"width": 4096, "height": 1024}, {"width": 4096, "height": 1040}),
        ("video", {"width": 1280, "height": 720}, {"width": 1280, "height": 736}),
        ("video", {"width": 720, "height": 1280}, {"width": 736, "height": 1280}),
    ],
)
def test_a_picture_is_held_to_its_area(tool: str, largest: dict[str, int], beyond: dict[str, int]) -> None:
    TOOLS[tool].check({**LEAST[tool], **largest})
    refusal = refused(tool, **beyond)
    assert "width × height must not exceed" in str(refusal)
    assert errors(refusal)[0]["pointer"] == "/width"


def test_the_largest_seed_survives_every_json_reader() -> None:
    assert float(LARGEST_SEED) == LARGEST_SEED == 2**53 - 1
    assert errors(refused("mask", seed=2**53))[0]["pointer"] == "/seed"
    assert errors(refused("mask", seed=-1))[0]["pointer"] == "/seed"


@pytest.mark.parametrize("tool", ["generate", "mask", "inpaint", "video"])
def test_chance_is_settled_once(tool: str) -> None:
    params = TOOLS[tool].check(LEAST[tool])
    settled = [params.settle().model_dump()["seed"] for _ in range(4)]
    assert len(set(settled)) == 4
    assert all(0 <= seed <= LARGEST_SEED for seed in settled)
    once = params.settle()
    assert once.settle() == once
    assert params.model_dump()["seed"] is None


@pytest.mark.parametrize("seed", [0, 42])
def test_a_given_seed_stays(seed: int) -> None:
    params = TOOLS["mask"].check({**LEAST["mask"], "seed": seed})
    assert params.settle() == params


def test_a_tool_without_chance_has_nothing_to_settle() -> None:
    params = TOOLS["train"].check(LEAST["train"])
    assert params.settle() is params


def test_params_cannot_be_changed() -> None:
    params = TOOLS["mask"].check(LEAST["mask"])
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 1  # type: ignore[attr-defined]  # that it cannot be done is the point


def stride(start: int, step: int, n: int) -> int:
    return start + n * step


def given_by_schema(tool: Tool) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what the tool's own schema allows, at a small size."""
    drawn: dict[str, st.SearchStrategy[Any]] = {}
    for name, schema in tool.params.model_json_schema()["properties"].items():
        arm = schema.get("anyOf", [schema])[0]
        if arm["type"] == "string":
            drawn[name] = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)
        elif arm["type"] == "number":
            drawn[name] = st.floats(arm.get("minimum", 1e-6), arm["maximum"])
        else:
            step = arm.get("multipleOf", 4 if name == "length" else 1)
            top = min(arm["maximum"], 720) if name in {"width", "height"} else arm["maximum"]
            drawn[name] = st.integers(0, (top - arm["minimum"]) // step).map(partial(stride, arm["minimum"], step))
    return st.fixed_dictionaries(
        {name: drawn[name] for name in LEAST[tool.name]},
        optional={name: drawn[name] for name in drawn if name not in LEAST[tool.name]},
    )


@pytest.mark.parametrize("name", SEED)
@few
@given(data=st.data())
def test_what_a_row_keeps_is_read_again_as_the_same_params(name: str, data: st.DataObject) -> None:
    params = TOOLS[name].check(data.draw(given_by_schema(TOOLS[name]))).settle()
    assert TOOLS[name].check(params.model_dump(mode="json")) == params


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
        arms = {name: field.get("anyOf", [field])[0] for name, field in schema["properties"].items()}
        return {name: arm["x-kind"] for name, arm in arms.items() if "x-kind" in arm}

    for tool in TOOLS.values():
        assert shown(tool.params.model_json_schema()) == {name: kind.name for name, kind in tool.takes.items()}
        assert shown(tool.result.model_json_schema(mode="serialization")) == {
            name: kind.name for name, kind in tool.gives.items()
        }


def test_what_is_taken_and_given_is_what_the_seeds_arrows_say() -> None:
    arrows = {
        tool.name: ({kind.name for kind in tool.takes.values()}, {kind.name for kind in tool.gives.values()})
        for tool in TOOLS.values()
    }
    assert arrows == {
        "train": ({"dataset"}, {"lora", "trigger_word"}),
        "resolve_template": ({"template", "trigger_word"}, {"prompt", "trigger_word"}),
        "generate": ({"lora", "prompt"}, {"image"}),
        "mask": ({"image"}, {"masked_scene"}),
        "inpaint": ({"masked_scene", "image"}, {"image"}),
        "video": ({"image"}, {"video"}),
    }
    inherited = {kind.name for tool in TOOLS.values() for kind in tool.takes.values() if kind.inherited}
    assert inherited == {"lora", "prompt", "trigger_word"}


def test_only_training_makes_a_model() -> None:
    assert [tool.name for tool in TOOLS.values() if tool.trains] == ["train"]


def test_a_result_shows_settings_and_never_a_whole_param_set() -> None:
    for tool in TOOLS.values():
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
    TOOLS["mask"].check_given(given)


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
        TOOLS["mask"].check_given(given)
    assert [error["pointer"] for error in errors(caught.value)] == pointers
