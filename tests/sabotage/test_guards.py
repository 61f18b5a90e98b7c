"""The table of guards fits the code of today, and the saboteur can tell a guard that is missed from one that is not."""

from dataclasses import replace

import pytest

from tests.sabotage.__main__ import judge, weigh
from tests.sabotage.guards import Guard, copied, read
from tests.test_house import ROOT

GUARDS = {guard.name: guard for guard in read()}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=list(GUARDS))
def test_a_guard_stands_where_the_table_says_and_has_its_tests(guard: Guard) -> None:
    assert (ROOT / guard.file).read_text().count(guard.text) == 1
    assert guard.without != guard.text
    for test in guard.tests:
        file, _, name = test.partition("::")
        assert f"def {name or 'test_'}" in (ROOT / "tests" / file).read_text()


def test_a_guard_that_is_gone_is_missed_and_one_that_stands_is_not() -> None:
    guard = GUARDS["the first ending is the last word"]
    with copied({}) as tree:
        whole = (tree.root / guard.file).read_text()
        gone = judge(tree, guard)
        assert (gone.seen, gone.by) == ("red", "test_the_first_ending_is_the_last_word[completed-completed]")
        assert (tree.root / guard.file).read_text() == whole
        assert judge(tree, replace(guard, without=guard.text)).seen == "green"
        assert judge(tree, replace(guard, without="        return Fals\n")).seen == "error"


def test_only_a_tests_own_word_counts() -> None:
    said = {"test": "test_it", "asserted": True, "why": "assert 1 == 2"}
    assert weigh(1, [said], "")[0] == "red"
    assert weigh(1, [said, {**said, "asserted": False}], "")[0] == "error"
    assert weigh(2, [], "ImportError")[0] == "error"
    assert weigh(0, [], "")[0] == "green"
