"""A caller may give a job less time than its tool allows, never more, and beside any tool's params."""

from typing import Any

import pytest

from tools.catalog import TOOLS
from tools.deadlines import SHORTEST_S, Deadlines
from tools.errors import InvalidInput, UnknownField

MASK = TOOLS["mask"]


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_every_tool_takes_them_and_no_params_know_of_them(tool: Any) -> None:
    times = {"start_within_seconds": 60, "timeout_seconds": 5, "max_gpu_seconds": 7}
    told, deadlines = tool.part({"seed": 1, **times})
    assert told == {"seed": 1}
    assert deadlines.model_dump() == times
    assert not set(Deadlines.model_fields) & {*tool.params.model_fields, *tool.result.model_fields}


def test_absent_means_the_tools_own() -> None:
    told, deadlines = MASK.part({})
    assert (told, set(deadlines.model_dump().values())) == ({}, {None})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_seconds", MASK.limits.timeout_s + 1),
        ("timeout_seconds", SHORTEST_S - 1),
        ("timeout_seconds", -1),
        ("timeout_seconds", 10.5),
        ("timeout_seconds", True),
        ("timeout_seconds", "60"),
        ("timeout_seconds", float("nan")),
        ("timeout_seconds", 10**30),
        ("timeout_seconds", "${0.seconds}"),
        ("start_within_seconds", MASK.limits.start_within_s + 1),
        ("start_within_seconds", 0),
        ("start_within_seconds", []),
    ],
)
def test_nonsense_is_refused_with_a_sentence(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        MASK.part({field: value})
    assert refused.value.details["errors"][0]["pointer"] == f"/{field}"
    assert str(refused.value).startswith(f"{field}: Input should be")


def test_the_bounds_are_legal() -> None:
    for seconds in (SHORTEST_S, MASK.limits.timeout_s):
        assert MASK.part({"timeout_seconds": seconds})[1].timeout_seconds == seconds


def test_a_misspelt_one_is_named() -> None:
    with pytest.raises(UnknownField) as refused:
        MASK.check({"image_url": "r2://a/b", "object_name": "shoe", "timeout": 60})
    assert refused.value.details["errors"][0]["suggestions"][0] == "timeout_seconds"
