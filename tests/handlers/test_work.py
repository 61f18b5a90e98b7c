"""What a handler is given."""

import threading
from pathlib import Path

import pytest

from gpu_handlers.work import Work
from tools.errors import Cancelled


@pytest.fixture(name="told")
def list_what_is_told() -> list[tuple[float, str]]:
    return []


@pytest.fixture(name="work")
def give_work(tmp_path: Path, told: list[tuple[float, str]]) -> Work:
    return Work(tmp_path, fetch, lambda fraction, stage: told.append((fraction, stage)), threading.Event())


def fetch(r2: str, path: Path) -> Path:
    path.write_text(r2)
    return path


def test_within_a_stage_reports_are_seldom(work: Work, told: list[tuple[float, str]]) -> None:
    for number in range(100):
        work.report(number / 100, "sampling")
    assert told == [(0.0, "sampling")]


def test_a_new_stage_is_told_at_once(work: Work, told: list[tuple[float, str]]) -> None:
    for stage in ("loading", "sampling", "encoding"):
        work.report(0.5, stage)
    assert [stage for _, stage in told] == ["loading", "sampling", "encoding"]


def test_progress_never_falls_and_never_exceeds_one(work: Work, told: list[tuple[float, str]]) -> None:
    for fraction, stage in ((0.6, "a"), (0.2, "b"), (1.7, "c")):
        work.report(fraction, stage)
    assert [fraction for fraction, _ in told] == [0.6, 0.6, 1.0]


def test_a_report_ends_work_that_nobody_wants(work: Work, told: list[tuple[float, str]]) -> None:
    work.stop.set()
    with pytest.raises(Cancelled):
        work.report(0.5, "sampling")
    assert told == []


def test_nothing_is_fetched_for_work_that_nobody_wants(work: Work) -> None:
    work.stop.set()
    with pytest.raises(Cancelled):
        work.fetch("r2://b/uploads/x.png")
    assert list(work.folder.iterdir()) == []


def test_two_files_of_one_name_do_not_meet(work: Work) -> None:
    one, other = work.fetch("r2://b/uploads/1/x.png"), work.fetch("r2://b/uploads/2/x.png")
    assert (one.read_text(), other.read_text()) == ("r2://b/uploads/1/x.png", "r2://b/uploads/2/x.png")


def test_a_confession_names_its_param(work: Work) -> None:
    work.confess("steps", "lr")
    assert [(note.code, note.pointer) for note in work.warnings] == [("no_effect", "/steps"), ("no_effect", "/lr")]
