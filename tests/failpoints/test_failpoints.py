"""Chosen faults at chosen points, on the whole house: each job ends once and rightly, and nothing is paid for twice."""

from collections.abc import Iterator

import pytest

from tests.failpoints import plan, trial
from tests.failpoints.house import House, built
from tests.failpoints.trial import Record, Trial


@pytest.fixture(scope="module")
def town(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - they must run
    """Run the house twice over, with the points in it."""
    with built(tmp_path_factory.mktemp("failpoints"), plan.FAR) as town:
        yield town


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Keep what became of each trial."""
    return []


@pytest.mark.parametrize("one", plan.CHOSEN, ids=lambda one: one.title.replace(" ", "-"))
def test_nothing_is_lost_and_nothing_is_done_twice(town: House, records: list[Record], one: Trial) -> None:
    record = trial.run(town, one)
    print(record.line())
    records.append(record)
    assert record.violations == []


def test_what_was_right_is_still_right_when_all_is_over(town: House, records: list[Record]) -> None:
    assert {record.trial.title: said for record in records if (said := trial.judge(town, record))} == {}
