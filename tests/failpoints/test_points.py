"""The points themselves: each is where it is said to be, and a fault is met once, by the job that it is meant for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.db import rows
from tests.failpoints import ledger, plan, points
from tests.failpoints.points import POINTS, Point
from tests.oracle import Run
from tools.errors import Unavailable

MARK = "123456789"

HERE = Point("main", "here", "before", "tests:here")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder in which faults can wait."""
    monkeypatch.setenv(points.FOLDER, str(tmp_path))
    for name in ("armed", "fired"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def job_id(database: str) -> str:  # noqa: ARG001 - it must run
    """Take in a job that bears the mark."""
    made = rows.accept()
    rows.change(made, given={"seed": int(f"{MARK}00")})
    return str(made)


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_each_point_is_at_a_function_of_ours(point: Point) -> None:
    owner, name = points.find(point.where)
    assert callable(getattr(owner, name))


@pytest.mark.parametrize("where", ["tasks.run:stride", "tasks.run:ToolTask.before_return", "tasks.run:Nobody.run"])
def test_a_point_whose_function_is_gone_is_refused_aloud(where: str) -> None:
    with pytest.raises(AttributeError, match="say in POINTS what has taken its place"):
        points.find(where)


def test_each_point_and_each_fault_and_each_deed_is_tried() -> None:
    everything = [one for trials in plan.everything().values() for one in trials]
    for trials in (everything, plan.CHOSEN):
        assert {one.point for one in trials} == set(POINTS)
        assert {one.fault for one in trials} == set(points.FAULTS)
        assert {one.deed for one in trials} >= {*plan.TOOLS, "resolve_template", "chain", "chord", "slow chord"}
    assert len(set(everything)) == len(everything)


def test_a_fault_is_met_once_by_the_job_that_bears_its_mark(folder: Path, job_id: str) -> None:
    met = points.pointed(HERE, lambda name: name)
    (folder / "armed" / f"main.here!{MARK}!error").touch()
    assert met(str(rows.accept())) is not None
    with pytest.raises(RuntimeError):
        met(job_id)
    assert met(job_id) == job_id
    assert [one.name.split("!")[:3] for one in (folder / "fired").iterdir()] == [["main.here", MARK, "error"]]


def test_an_attempt_is_known_by_its_job(folder: Path, job_id: str) -> None:
    attempt_id = rows.start(UUID(job_id))
    (folder / "armed" / f"main.here!{MARK}!away").touch()
    with pytest.raises(Unavailable):
        points.pointed(HERE, print)({"input": {"attempt_id": str(attempt_id)}})


@pytest.mark.parametrize(("said", "is_met"), [(None, False), ("a result", True)])
def test_a_point_may_be_after_some_results_alone(folder: Path, job_id: str, said: Any, is_met: bool) -> None:  # noqa: FBT001 - a case
    after = Point("main", "here", "after", "tests:here", said=lambda result: result is not None)
    (folder / "armed" / f"main.here!{MARK}!error").touch()
    calls: list[str] = []

    def work(name: str) -> Any:
        calls.append(name)
        return said

    if is_met:
        with pytest.raises(RuntimeError):
            points.pointed(after, work)(job_id)
    else:
        assert points.pointed(after, work)(job_id) is said
    assert calls == [job_id]


def test_a_function_is_replaced_under_each_of_its_names() -> None:
    from tasks import answers, watch  # noqa: PLC0415 - both know it

    original = answers.look

    def other(job: Any) -> None:
        original(job)

    undo: Callable[[Any], Any] = lambda _: original  # noqa: E731 - a way back, used once
    points.put("tasks.answers:look", lambda _: other)
    try:
        assert vars(watch)["look"] is answers.look is other
    finally:
        points.put("tasks.answers:look", undo)
    assert vars(watch)["look"] is answers.look is original


def test_the_ledger_tells_who_ended_who_died_and_who_stood_still(tmp_path: Path) -> None:
    for line in (
        {"word": "began", "attempt_id": "a", "job_id": "j", "pid": 1, "at": 1},
        {"word": "began", "attempt_id": "b", "job_id": "j", "pid": 2, "at": 2},
        {"word": "ended", "attempt_id": "a", "job_id": "j", "pid": 1, "at": 3},
        {"word": "stood", "pid": 2, "at": 4},
        {"word": "went", "pid": 2, "at": 5},
        {"word": "died", "pid": 2, "at": 6},
        {"word": "began", "attempt_id": "c", "job_id": "k", "pid": 1, "at": 7},
        {"word": "ended", "attempt_id": "c", "job_id": "k", "pid": 1, "at": 8},
        {"word": "died", "pid": 1, "at": 9},
    ):
        ledger.write(tmp_path, **line)
    assert ledger.read(tmp_path) == [
        Run("a", "j", 1, 3),
        Run("b", "j", 2, 6, died=True, still=((4, 5),)),
        Run("c", "k", 7, 8, died=True),
    ]
