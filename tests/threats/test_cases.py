"""Each case of the threat table is held by a test that is there, or says why not."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]

CASES: dict[str, dict[str, Any]] = tomllib.loads((TESTS / "threats" / "cases.toml").read_text())["cases"]

#: Cases that no test holds; to add one here is a decision.
ABSENT: set[str] = set()


def test_all_cases_are_there_and_no_more_are_absent_than_were() -> None:
    assert list(CASES) == [f"{n:03}" for n in range(1, 116)]
    assert {number for number, case in CASES.items() if "absent" in case} == ABSENT


@pytest.mark.parametrize("number", CASES, ids=lambda number: f"{number} {CASES[number]['what']}")
def test_a_case_is_held_by_tests_that_are_there(number: str) -> None:
    case = CASES[number]
    assert ("absent" in case) is not bool(case.get("tests"))
    for test in case.get("tests", []):
        found = re.fullmatch(r"([\w/]+\.py)::(test_\w+)(?:\[(.+)\])?", test)
        assert found, test
        source = (TESTS / found[1]).read_text()
        assert f"def {found[2]}(" in source, test
        assert not found[3] or found[3] in source, test
