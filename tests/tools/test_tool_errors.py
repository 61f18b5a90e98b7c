"""The tree of errors: each a code, a sentence, and something that travels as JSON."""

import json
import pickle
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.errors import InvalidInput, ToolError, every, recall

#: Those that the tree of this module defines; a test may have made others.
ERRORS = [cls for cls in every() if cls.__module__ == "tools.errors"]
few = settings(max_examples=10, deadline=None, database=None, derandomize=True)
details = st.dictionaries(
    st.sampled_from(["errors", "suggestions", "available", "retry_after"]),
    st.lists(st.text(max_size=5), max_size=3) | st.integers() | st.none(),
)


def test_codes_are_unique() -> None:
    codes = [cls.code for cls in ERRORS]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("cls", ERRORS)
def test_the_docstring_is_the_sentence_that_the_user_reads(cls: type[ToolError]) -> None:
    sentence = cls.__doc__ or ""
    assert re.fullmatch(r"[A-Z][^\n]*[^.\s]\.", sentence)
    assert cls.code == "internal" or re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)
    assert str(cls()) == sentence
    assert cls().problem() == {"code": cls.code, "detail": sentence, "retryable": cls.retryable}


@pytest.mark.parametrize("cls", ERRORS)
@few
@given(detail=st.text(min_size=1), more=details)
def test_an_error_is_recalled_from_what_it_showed(cls: type[ToolError], detail: str, more: dict[str, Any]) -> None:
    shown = json.loads(json.dumps(cls(detail, more).problem()))
    again = recall(shown)
    assert type(again) is cls
    assert (str(again), again.details, again.problem()) == (detail, more, shown)


@pytest.mark.parametrize("cls", ERRORS)
def test_an_error_travels_as_its_arguments(cls: type[ToolError]) -> None:
    error = cls.at("seed", "give a finite number.", suggestions=[1, 2])
    for again in (cls(*json.loads(json.dumps(error.args))), pickle.loads(pickle.dumps(error))):
        assert (type(again), str(again), again.problem()) == (cls, str(error), error.problem())


def test_an_error_of_a_later_version_is_still_an_error() -> None:
    again = recall({"code": "from_the_future", "detail": "What is this.", "retryable": True, "errors": []})
    assert (type(again), str(again), again.details) == (ToolError, "What is this.", {"errors": []})


def test_a_field_is_blamed_by_its_pointer() -> None:
    error = InvalidInput.at("prompt/0", "too long.", limit=4000)
    assert str(error) == "prompt/0: too long."
    assert error.problem()["errors"] == [
        {"pointer": "/prompt/0", "code": "invalid_input", "detail": "too long.", "limit": 4000}
    ]


def test_an_error_is_shown_by_its_name_and_sentence() -> None:
    assert repr(InvalidInput.at("seed", "give a number.")) == "InvalidInput('seed: give a number.')"
