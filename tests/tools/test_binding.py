"""What a job is told: given, referenced, or filled by kind from what was handed on."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.binding import bind
from tools.catalog import TOOLS, find, givers
from tools.errors import AmbiguousInput, InvalidInput, MissingInput, ToolError, UnknownField
from tools.references import Handed, read

few = settings(max_examples=60, deadline=None, database=None, derandomize=True)

TRAINED = Handed(
    "train", {"model_id": 6, "trigger_word": "TOK_HANDBAG", "model_string": "r2://p/models/a", "job_id": "1"}
)
RESOLVED = Handed("resolve_template", {"resolved_prompt": "a TOK_HANDBAG", "trigger_word": "TOK_HANDBAG"})
GENERATED = Handed(
    "generate",
    {"image_url": "/api/images/a.png", "r2_path": "r2://p/generated/a.png", "model_id": 6, "prompt": "a TOK_HANDBAG",
     "generation_params": {"seed": 12345, "width": 832}, "duration_seconds": 4.5},
)  # fmt: skip
OTHER = Handed("generate", {**GENERATED.values, "r2_path": "r2://p/generated/b.png"})
MASKED = Handed("mask", {"image_url": "/api/masks/a.png", "r2_path": "r2://p/masks/a.png", "object_name": "handbag"})
INPAINTED = Handed("inpaint", {"image_url": "/api/inpainted/a.png", "r2_path": "r2://p/generated/c.png"})


def told(
    tool: str, given: dict[str, Any], upstream: list[Handed] | None = None, further: list[list[Handed]] | None = None
) -> dict[str, Any]:
    """Bind from results by position; show what came of it beside the defaults."""
    by_position = {str(n): handed for n, handed in enumerate(upstream or [])}
    return bind(TOOLS[tool], given, by_position, further or []).model_dump(exclude_unset=True)


def refusal(error: type[ToolError], *args: Any) -> ToolError:
    with pytest.raises(error) as caught:
        told(*args)
    return caught.value


def test_the_seeds_whole_arrow_binds_step_by_step() -> None:
    assert told("resolve_template", {"template_id": "t"}, [TRAINED]) == {
        "template_id": "t", "trigger_word": "TOK_HANDBAG",
    }  # fmt: skip
    assert told("generate", {}, [RESOLVED], [[TRAINED]]) == {"model_id": 6, "prompt": "a TOK_HANDBAG"}
    assert told("mask", {"object_name": "handbag"}, [GENERATED], [[RESOLVED], [TRAINED]]) == {
        "image_url": "r2://p/generated/a.png", "object_name": "handbag",
    }  # fmt: skip
    assert told("inpaint", {"reference_url": "r2://p/uploads/b.png"}, [MASKED], [[GENERATED], [RESOLVED]]) == {
        "scene_url": "r2://p/masks/a.png", "reference_url": "r2://p/uploads/b.png",
    }  # fmt: skip
    assert told("video", {}, [INPAINTED], [[MASKED], [GENERATED]]) == {"image_url": "r2://p/generated/c.png"}


def test_what_is_given_wins() -> None:
    assert told("mask", {"image_url": "r2://p/uploads/z.png", "object_name": "x"}, [GENERATED])["image_url"] == (
        "r2://p/uploads/z.png"
    )
    assert told("generate", {"prompt": "mine", "model_id": 9}, [RESOLVED], [[TRAINED]]) == {
        "prompt": "mine", "model_id": 9,
    }  # fmt: skip


def test_a_step_is_told_nothing_that_it_did_not_ask_for() -> None:
    assert "mask_url" not in told("inpaint", {"reference_url": "r2://p/u/b.png"}, [MASKED])
    assert "prompt" not in told("video", {}, [GENERATED], [[RESOLVED]])


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("${0.r2_path}", "r2://p/generated/a.png"),
        ("${1.r2_path}", "r2://p/generated/b.png"),
        ("${0.prompt}", "a TOK_HANDBAG"),
    ],
)
def test_a_reference_is_read_by_position(reference: str, value: str) -> None:
    assert told("mask", {"image_url": reference, "object_name": "x"}, [GENERATED, OTHER])["image_url"] == value


def test_a_reference_is_read_by_name_and_along_a_path_with_its_type() -> None:
    upstream = {"gen": GENERATED, "scene": MASKED}
    params = bind(
        TOOLS["inpaint"],
        {"scene_url": "${scene.r2_path}", "reference_url": "${gen.r2_path}", "seed": "${gen.generation_params.seed}"},
        upstream,
    )
    assert params.model_dump(exclude_unset=True) == {
        "scene_url": "r2://p/masks/a.png", "reference_url": "r2://p/generated/a.png", "seed": 12345,
    }  # fmt: skip


def test_a_reference_to_a_step_that_is_not_before_names_those_that_are() -> None:
    error = refusal(InvalidInput, "mask", {"image_url": "${3.r2_path}", "object_name": "x"}, [GENERATED, OTHER])
    assert str(error) == "image_url: ${3.r2_path} names a step that is not before this one (before it: 0, 1)."
    assert "before it: none" in str(refusal(InvalidInput, "mask", {"image_url": "${0.r2_path}"}, []))


@pytest.mark.parametrize("path", ["r2path", "generation_params.sed", "r2_path.deeper", "generation_params..seed"])
def test_a_reference_to_a_field_that_is_not_there_names_those_that_are(path: str) -> None:
    error = refusal(InvalidInput, "mask", {"image_url": f"${{0.{path}}}", "object_name": "x"}, [GENERATED])
    [entry] = error.details["errors"]
    assert entry["pointer"] == "/image_url"
    known = {"r2path": "r2_path", "generation_params.sed": "seed", "generation_params..seed": "seed"}
    assert known.get(path) in [*entry["suggestions"], None]


@pytest.mark.parametrize("number", ["²", "٣", "1" * 5000], ids=["raised", "Arabic", "longer than Python reads"])
def test_only_a_plain_number_names_one_result_of_many(number: str) -> None:
    with pytest.raises(InvalidInput, match="names no field of that result"):
        read("image_url", f"${{gen.{number}.r2_path}}", {"gen": Handed("generate", [GENERATED.values] * 4)})


def test_a_referenced_value_is_held_to_the_contract() -> None:
    error = refusal(InvalidInput, "mask", {"image_url": "${0.model_id}", "object_name": "x"}, [GENERATED])
    assert error.details["errors"][0]["pointer"] == "/image_url"


def test_a_gap_is_filled_by_kind_and_not_by_name() -> None:
    # mask's result has an image_url too, but what it carries is a masked scene.
    assert told("inpaint", {"reference_url": "r"}, [MASKED])["scene_url"] == "r2://p/masks/a.png"
    refusal(MissingInput, "video", {}, [MASKED])


def test_files_come_only_from_the_step_directly_before() -> None:
    error = refusal(MissingInput, "video", {}, [RESOLVED], [[GENERATED]])
    assert str(error) == "video.image_url wants image: give it, or put generate or inpaint before video."
    assert error.details["errors"] == [
        {
            "pointer": "/image_url", "code": "missing_input",
            "detail": "wants image: give it, or put generate or inpaint before video.",
        }
    ]  # fmt: skip


def test_words_and_ids_come_down_the_whole_chain() -> None:
    assert told("generate", {}, [INPAINTED], [[MASKED], [GENERATED], [RESOLVED], [TRAINED]]) == {
        "model_id": 6, "prompt": "a TOK_HANDBAG",
    }  # fmt: skip


def test_the_nearest_level_wins() -> None:
    near = Handed("train", {"model_id": 7, "trigger_word": "TOK_SHOE"})
    assert told("generate", {"prompt": "x"}, [near], [[TRAINED]])["model_id"] == 7
    assert told("generate", {"prompt": "x"}, [MASKED], [[near], [TRAINED]])["model_id"] == 7
    assert told("generate", {"prompt": "x"}, [MASKED], [[MASKED], [TRAINED], [near]])["model_id"] == 6


def test_two_different_values_are_ambiguous_and_two_equal_ones_are_not() -> None:
    error = refusal(AmbiguousInput, "mask", {"object_name": "x"}, [GENERATED, OTHER])
    assert (
        str(error)
        == "image_url: 2 results give image: say which by a reference, such as ${gen.r2_path} or ${0.r2_path}."
    )
    assert error.details["errors"][0]["pointer"] == "/image_url"
    assert told("mask", {"object_name": "x"}, [GENERATED, GENERATED])["image_url"] == "r2://p/generated/a.png"
    refusal(AmbiguousInput, "generate", {"prompt": "x"}, [MASKED], [[TRAINED, Handed("train", {"model_id": 7})]])


def test_what_only_the_caller_can_choose_is_never_filled() -> None:
    error = refusal(MissingInput, "inpaint", {"scene_url": "r2://p/masks/a.png"}, [GENERATED])
    assert error.details["errors"][0]["pointer"] == "/reference_url"
    refusal(MissingInput, "resolve_template", {"trigger_word": "T"}, [Handed(None, {"template_id": "t"})])
    refusal(
        MissingInput, "train", {"model_name": "x", "trigger_word": "T"}, [Handed(None, {"images": "r2://p/u/a.zip"})]
    )


def test_an_empty_value_fills_no_gap() -> None:
    refusal(MissingInput, "mask", {"object_name": "x"}, [Handed("generate", {"r2_path": None})])


def test_a_foreign_dict_is_read_by_the_names_of_the_params() -> None:
    foreign = Handed(
        None, {"image_url": "https://example.com/a.jpg", "r2_path": "r2://p/generated/z.png", "prompt": "x"}
    )
    assert told("mask", {"object_name": "x"}, [foreign])["image_url"] == "https://example.com/a.jpg"
    refusal(AmbiguousInput, "mask", {"object_name": "x"}, [foreign, GENERATED])
    refusal(MissingInput, "mask", {"object_name": "x"}, [Handed(None, {"r2_path": "r2://p/generated/z.png"})])


def test_an_unknown_field_stays_unknown_beside_results() -> None:
    error = refusal(UnknownField, "mask", {"object_nam": "x", "object_name": "y"}, [GENERATED])
    assert error.details["errors"][0]["suggestions"] == ["object_name"]


def test_nobody_gives_a_dataset() -> None:
    assert givers("dataset") == []
    assert givers("image") == ["generate", "inpaint"]


def test_a_tool_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidInput, match="There is no tool sculpt; there are train, resolve_template, generate"):
        find("sculpt")


@few
@given(st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_any_other_value_is_itself(value: Any) -> None:
    assert read("prompt", value, {}) == value


@few
@given(
    upstream=st.lists(st.sampled_from([TRAINED, RESOLVED, GENERATED, OTHER, MASKED, INPAINTED]), max_size=4),
    chosen=st.booleans(),
)
def test_binding_gives_what_was_given_or_handed_or_says_why_not(upstream: list[Handed], *, chosen: bool) -> None:
    mine = {"object_name": "x"} | ({"image_url": "r2://p/uploads/z.png"} if chosen else {})
    images = {handed.values["r2_path"] for handed in upstream if handed.tool in {"generate", "inpaint"}}
    if chosen or len(images) == 1:
        assert told("mask", mine, upstream)["image_url"] in ({mine["image_url"]} if chosen else images)
    else:
        refusal(AmbiguousInput if images else MissingInput, "mask", mine, upstream)
