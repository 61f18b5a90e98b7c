"""What people write is kept in one form, and nothing in it is an order to a machine."""

import unicodedata
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.catalog import TOOLS
from tools.errors import InvalidInput
from tools.texts import EMBEDDING, LOADER, UNSEEN, clean

CASES = {
    "a\tb\nc": "a\tb\nc",
    "a\r\nb\rc": "a\nb\nc",
    "a\x07b\x1b[31mc\x7f\x9fd": "ab[31mcd",
    "safe\u202egnp.exe": "safegnp.exe",
    "\u2066x\u2069\ufeff": "x",
    "cafe\u0301": "café",
    "e\u202e\u0301": "é",
    "a bag, embedding:evil.pt": "a bag, embedding evil.pt",
    "EmBedding::x": "EmBedding x",
    "a <lora:../../x:1.0> bag": "a lora ../../x:1.0> bag",
    "<< LoRA :x>": "<LoRA x>",
    "<hypernet:a> <lyco:b>": "hypernet a> lyco b>",
    "a bag: red, 3 < 4, <b>bold</b>, flora: no": "a bag: red, 3 < 4, <b>bold</b>, flora: no",
    "שלום, مرحبا, 日本 👩‍👩‍👧": "שלום, مرحبا, 日本 👩‍👩‍👧",
}


@pytest.mark.parametrize(("said", "kept"), CASES.items())
def test_a_text_is_kept_in_one_form(said: str, kept: str) -> None:
    assert clean(said) == kept


LOOKING_LIKE_LOADERS = st.lists(
    st.sampled_from(["embedding", ":", " ", "<", "lora", "ti", ">", "\u202e", "\x07", "\r", "e\u0301", "LORA"])
).map("".join)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.one_of(st.text(max_size=60), LOOKING_LIKE_LOADERS))
def test_to_clean_once_is_enough(said: str) -> None:
    try:
        kept = clean(said)
    except ValueError:
        return
    assert clean(kept) == kept
    assert unicodedata.is_normalized("NFC", kept)
    assert not any(pattern.search(kept) for pattern in (UNSEEN, EMBEDDING, LOADER))


@pytest.mark.parametrize("value", [5, None, ["embedding:x"], 1.5])
def test_what_is_no_text_stays_for_the_contract_to_refuse(value: Any) -> None:
    assert clean(value) == value


def told(tool: str, **given: Any) -> Any:
    whole: dict[str, dict[str, Any]] = {
        "generate": {"model_id": 1, "prompt": "a"}, "video": {"image_url": "r2://b/a.png"},
        "inpaint": {"scene_url": "r2://b/a.png", "reference_url": "r2://b/a.png"},
        "mask": {"image_url": "r2://b/a.png", "object_name": "bag"},
        "train": {"images": "r2://b/a.zip", "model_name": "Bag", "trigger_word": "TOK"},
    }  # fmt: skip
    return TOOLS[tool].check(whole[tool] | given)


FIELDS = [("generate", "prompt"), ("generate", "negative_prompt"), ("inpaint", "prompt"), ("video", "prompt"),
          ("mask", "object_name"), ("train", "model_name")]  # fmt: skip


@pytest.mark.parametrize(("tool", "field"), FIELDS)
def test_every_text_of_every_tool_is_kept_so(tool: str, field: str) -> None:
    assert getattr(told(tool, **{field: "cafe\u0301\x07 embedding:x"}), field) == "café embedding x"


@pytest.mark.parametrize(("tool", "field"), FIELDS)
def test_nothing_but_what_nobody_sees_is_nothing(tool: str, field: str) -> None:
    if field in {"negative_prompt"} or tool in {"inpaint", "video"}:
        assert getattr(told(tool, **{field: "\x07\u202e"}), field) == ""
        return
    with pytest.raises(InvalidInput, match=field):
        told(tool, **{field: "\x07\u202e"})


@pytest.mark.parametrize(("tool", "field"), FIELDS)
def test_a_heap_of_marks_is_refused_at_once(tool: str, field: str) -> None:
    heap = "a" + "\u0301\u0316" * 5000
    began = process_time()
    for said in (heap, heap * 20, "x" * 100_000):
        with pytest.raises(InvalidInput, match=field):
            told(tool, **{field: said})
    assert process_time() - began < 1


def test_bounds_count_the_letters_that_are_kept() -> None:
    assert len(told("generate", prompt="e\u0301" * 4000).prompt) == 4000
    with pytest.raises(InvalidInput, match="4000"):
        told("generate", prompt="e\u0301" * 4001)


def test_a_reference_is_no_loader() -> None:
    assert clean("${train.trigger_word}: ${0.resolved_prompt}") == "${train.trigger_word}: ${0.resolved_prompt}"
