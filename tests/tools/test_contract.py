"""The contracts against the seed's tables, and the one door for params."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.seed import ANSWERS, LEAST, OURS, SEED
from tools.contract import LARGEST_SEED, Tool
from tools.errors import InvalidInput, MissingInput, ToolError, UnknownField

FIELDS = [(tool, name) for tool in OURS.values() for name in tool.params.model_fields]
few = settings(max_examples=20, deadline=None, database=None, derandomize=True)


def refused(tool: str, **given: Any) -> ToolError:
    """Give what the tool says to these, beside the least that it needs."""
    with pytest.raises(InvalidInput) as caught:
        OURS[tool].check({**LEAST[tool], **given})
    return caught.value


def errors(refusal: ToolError) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = refusal.details["errors"]
    return found


@pytest.mark.parametrize("tool", SEED)
def test_params_and_defaults_are_the_seeds(tool: str) -> None:
    fields = OURS[tool].params.model_fields
    assert {name: info.default for name, info in fields.items()} == SEED[tool]


def test_the_seed_names_every_tool() -> None:
    assert set(OURS) == set(SEED)


@pytest.mark.parametrize("tool", SEED)
def test_the_least_is_enough_and_nothing_less(tool: str) -> None:
    assert OURS[tool].check(LEAST[tool]).model_dump(exclude_unset=True) == LEAST[tool]
    for name in LEAST[tool]:
        with pytest.raises(MissingInput) as caught:
            OURS[tool].check({key: value for key, value in LEAST[tool].items() if key != name})
        assert [error["pointer"] for error in errors(caught.value)] == [f"/{name}"]


@pytest.mark.parametrize("tool", ANSWERS)
def test_an_answer_has_the_seeds_keys_in_the_seeds_order(tool: str) -> None:
    wanted = ANSWERS[tool]
    params = OURS[tool].check(LEAST[tool]).settle()
    known = {name: value for name, value in wanted.items() if not isinstance(value, list)}
    answer = OURS[tool].answer(params, **known, not_asked_for=1)
    assert list(answer) == list(wanted)
    for name, value in wanted.items():
        assert (list(answer[name]) if isinstance(value, list) else answer[name]) == value


def test_settings_are_shown_as_they_were_used_and_steps_under_its_other_name() -> None:
    params = OURS["generate"].check({**LEAST["generate"], "num_inference_steps": 7, "seed": 12345, "lora_scale": 0.5})
    shown = OURS["generate"].answer(params, image_url="", r2_path="", duration_seconds=0.0)["generation_params"]
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
        elif arm["type"] == "array":
            assert {"minItems", "maxItems"} <= set(arm)
            assert arm["items"] == {"type": "string", "maxLength": 2048}
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
    assert OURS["generate"].check({**LEAST["generate"], "lora_scale": 1}).model_dump()["lora_scale"] == 1.0


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
        OURS[tool].check({**LEAST[tool], next(iter(given)): value})


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
    OURS[tool].check({**LEAST[tool], **largest})
    refusal = refused(tool, **beyond)
    assert "width × height must not exceed" in str(refusal)
    assert errors(refusal)[0]["pointer"] == "/width"


def test_the_largest_seed_survives_every_json_reader() -> None:
    assert float(LARGEST_SEED) == LARGEST_SEED == 2**53 - 1
    assert errors(refused("mask", seed=2**53))[0]["pointer"] == "/seed"
    assert errors(refused("mask", seed=-1))[0]["pointer"] == "/seed"


@pytest.mark.parametrize("tool", ["generate", "mask", "inpaint", "video"])
def test_chance_is_settled_once(tool: str) -> None:
    params = OURS[tool].check(LEAST[tool])
    settled = [params.settle().model_dump()["seed"] for _ in range(4)]
    assert len(set(settled)) == 4
    assert all(0 <= seed <= LARGEST_SEED for seed in settled)
    once = params.settle()
    assert once.settle() == once
    assert params.model_dump()["seed"] is None


@pytest.mark.parametrize("seed", [0, 42])
def test_a_given_seed_stays(seed: int) -> None:
    params = OURS["mask"].check({**LEAST["mask"], "seed": seed})
    assert params.settle() == params


def test_a_tool_without_chance_has_nothing_to_settle() -> None:
    params = OURS["train"].check(LEAST["train"])
    assert params.settle() is params


def test_params_cannot_be_changed() -> None:
    params = OURS["mask"].check(LEAST["mask"])
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
    params = OURS[name].check(data.draw(given_by_schema(OURS[name]))).settle()
    assert OURS[name].check(params.model_dump(mode="json")) == params


def test_a_template_is_resolved_to_the_letter() -> None:
    tool = OURS["resolve_template"]
    params = tool.check({"template_id": "a", "trigger_word": "TOK_BAG"})
    prompt = "a trigger_keyword, the trigger_keyword, {trigger_keyword} \\1 %s"
    assert tool.local
    answer = tool.answer(params, **tool.local(params, {"template_id": {"name": "Girl", "prompt": prompt}}))
    assert answer == {
        "template_id": "a", "template_name": "Girl", "original_prompt": prompt,
        "resolved_prompt": "a TOK_BAG, the TOK_BAG, {TOK_BAG} \\1 %s", "trigger_word": "TOK_BAG",
    }  # fmt: skip
