"""Captions: the trigger word is in every one, once it has been there it stays as it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.captions import caption


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "TOK_BAG"),
        ("", "TOK_BAG"),
        (" \n", "TOK_BAG"),
        ("a red bag on a table", "TOK_BAG, a red bag on a table"),
        ("TOK_BAG, a red bag", "TOK_BAG, a red bag"),
        ("a photo of TOK_BAG", "a photo of TOK_BAG"),
        ("a photo of tok_bag.", "a photo of TOK_BAG."),
        ("a photo of [trigger] at sea", "a photo of TOK_BAG at sea"),
        ("a photo of TOK_BAGS", "TOK_BAG, a photo of TOK_BAGS"),
        ("two\r\nlines", "TOK_BAG, two lines"),
    ],
)
def test_the_trigger_word_is_in_a_caption(text: str | None, said: str) -> None:
    assert caption(text, "TOK_BAG") == said


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(text=st.none() | st.text(), trigger=st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True))
def test_a_second_time_changes_nothing(text: str | None, trigger: str) -> None:
    once = caption(text, trigger)
    assert trigger in once
    assert caption(once, trigger) == once
