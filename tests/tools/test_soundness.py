"""What JSON, PostgreSQL or a GPU cannot carry is refused before anything looks at it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import references
from tools.catalog import TOOLS
from tools.errors import InvalidInput
from tools.refusal import DEEPEST, check_sound

few = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (float("-inf"), "finite"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        ("a\udfffb", "surrogate"),
        (2**63, "too large"),
        (-(2**63), "too large"),
        pytest.param(10**4999, "too large", id="5,000 digits"),
    ],
)
@pytest.mark.parametrize(
    ("wrap", "pointer"),
    [
        (lambda value: {"prompt": value}, "/prompt"),
        (lambda value: {"prompt": [1, value]}, "/prompt/1"),
        (lambda value: {"a": {"b/c~d": (0, {"e": value})}}, "/a/b~1c~0d/1/e"),
    ],
)
def test_what_cannot_be_carried_is_refused_wherever_it_stands(value: Any, word: str, wrap: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        check_sound(wrap(value))
    assert [error["pointer"] for error in caught.value.details["errors"]] == [pointer]


@pytest.mark.parametrize("key", ["a\0", "\ud800"])
def test_a_key_is_held_to_the_same_as_a_value(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_sound({"outer": {key: 1}})
    assert caught.value.details["errors"][0]["pointer"] == "/outer"
    json.dumps(caught.value.problem(), ensure_ascii=False).encode()  # the answer itself must be valid


def test_a_whole_body_can_be_blamed() -> None:
    with pytest.raises(InvalidInput, match=r"^The body: give a finite number") as caught:
        check_sound(float("nan"))
    assert caught.value.details["errors"][0]["pointer"] == ""


def test_depth_has_an_end() -> None:
    check_sound(nested(DEEPEST))
    for levels in (DEEPEST + 1, 100_000):
        with pytest.raises(InvalidInput, match=f"nested deeper than {DEEPEST} levels"):
            check_sound(nested(levels))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63) + 1, 1e308, "", "\U0010ffff", "ß\n\t", None, True, [], {}])
def test_what_can_be_carried_is_let_pass(value: Any) -> None:
    check_sound({"prompt": value})


def test_every_door_of_a_tool_looks_first() -> None:
    for door in (TOOLS["mask"].check, TOOLS["mask"].check_given):
        with pytest.raises(InvalidInput, match="object_name: text must not contain"):
            door({"image_url": "r2://packshot/uploads/a.png", "object_name": "\0"})


plain = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)
sound = st.recursive(plain | text, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))


@few
@given(sound)
def test_all_that_is_sound_passes_and_can_be_written_as_json(value: Any) -> None:
    check_sound(value)
    assert json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@few
@given(st.lists(sound, max_size=3), st.sampled_from([float("nan"), "\0", "\udc00", 2**64]))
def test_one_unsound_value_among_sound_ones_is_found(before: list[Any], bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_sound({"a": [*before, bad]})
    assert caught.value.details["errors"][0]["pointer"] == f"/a/{len(before)}"


@pytest.mark.parametrize("value", ["${0.r2_path}", "${gen.generation_params.seed}", "${step_2.x}", "${gen}"])
def test_a_reference_is_known(value: str) -> None:
    assert references.whole(value)


@pytest.mark.parametrize(
    "value", ["${}", "${0.}", "${.r2_path}", "$0.r2_path", " ${0.r2_path}", "${0.r2_path}!", "${0.a-b}"]
)
def test_what_only_resembles_a_reference_is_plain_text(value: str) -> None:
    assert not references.whole(value)
