"""What the world reads of jobs."""

import base64
import json
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete

from db import pages
from db.base import transaction
from db.jobs import Job
from tests.db import rows
from tools.errors import FileNotFound, InvalidInput, JobNotFound

pytestmark = pytest.mark.usefixtures("tables")


def ids(page: dict[str, list[dict[str, str]]]) -> list[UUID]:
    return [UUID(job["job_id"]) for job in page["data"]]


def complete(r2_path: str | None = None) -> tuple[UUID, UUID]:
    """Complete a job with a file named for its attempt, or as told; give its id and the attempt's."""
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    file = {"r2_path": r2_path or f"r2://packshot/masks/{attempt_id}.png", "size": 3, "sha256": "a"}
    with transaction() as session:
        rows.lock(session, job_id).end("completed", result={"b": 1, "a": 2}, outcome=rows.outcome(file=file))
    return job_id, attempt_id


def test_a_job_is_shown_with_the_seeds_keys_first() -> None:
    job_id, _ = complete()
    shown = pages.read(job_id)
    assert list(shown)[:3] == ["job_id", "status", "result"]
    assert (shown["job_id"], shown["status"], list(shown["result"])) == (str(job_id), "completed", ["b", "a"])
    assert (shown["engine"], shown["progress"], shown["warnings"], shown["error"]) == ("preview", 1.0, [], None)
    assert shown["created_at"] <= shown["started_at"] <= shown["ended_at"]
    json.dumps(shown)


def test_a_job_that_waits_is_shown_too() -> None:
    shown = pages.read(rows.accept(), "mask")
    assert (shown["status"], shown["result"], shown["started_at"], shown["engine"]) == ("pending", None, None, None)


def test_a_job_is_found_by_its_own_tool_alone() -> None:
    job_id = rows.accept("video")
    assert pages.read(job_id, "video")["tool"] == "video"
    for unknown, tool in ((job_id, "mask"), (uuid4(), None)):
        with pytest.raises(JobNotFound):
            pages.read(unknown, tool)


def test_pages_follow_each_other_without_gap_or_echo() -> None:
    with transaction() as session:
        session.execute(delete(Job))
    made = [rows.accept() for _ in range(7)]
    # Moments that are equal to the microsecond are told apart by the id.
    for job_id in made[2:5]:
        rows.change(job_id, created_at=rows.job(made[2]).created_at)
    seen, cursor = [], None
    for size in (3, 3, 1):
        page = pages.read_list(cursor=cursor, limit=3)
        assert len(page["data"]) == size
        assert page["has_more"] is (size == 3)
        assert (page["next_cursor"] is None) is not page["has_more"]
        rows.accept()  # what comes meanwhile is on no later page
        seen += ids(page)
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(made)
    assert seen[:2] == [made[6], made[5]]
    assert seen[-2:] == [made[1], made[0]]


def test_a_full_last_page_has_no_next() -> None:
    with transaction() as session:
        session.execute(delete(Job))
    made = [rows.accept() for _ in range(2)]
    page = pages.read_list(limit=2)
    assert (ids(page), page["has_more"], page["next_cursor"]) == (made[::-1], False, None)


def test_jobs_are_chosen_by_tool_and_status() -> None:
    video, (done, _) = rows.accept("video"), complete()
    assert video in ids(pages.read_list(tool="video"))
    assert {job["tool"] for job in pages.read_list(tool="video")["data"]} == {"video"}
    assert done in ids(pages.read_list(status="completed"))
    assert {job["status"] for job in pages.read_list(status="completed")["data"]} == {"completed"}
    assert ids(pages.read_list(tool="train")) == []


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "ÿ",
        "\ud800",
        "",
        " ",
        *[base64.urlsafe_b64encode(text).decode() for text in (b"\xff", b"a b", b"2026-01-01 x")],
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        pages.unpack(cursor)


def test_a_file_is_found_by_the_attempt_that_left_it() -> None:
    _, attempt_id = complete()
    assert pages.find_file(attempt_id, "mask") == {
        "r2_path": f"r2://packshot/masks/{attempt_id}.png", "size": 3, "sha256": "a",
    }  # fmt: skip


def test_no_other_file_is_found() -> None:
    _, attempt_id = complete()
    _, elsewhere = complete("r2://packshot/masks/another.png")
    unfinished = rows.start(rows.accept())
    for unknown, tool in ((attempt_id, "video"), (uuid4(), "mask"), (unfinished, "mask"), (elsewhere, "mask")):
        with pytest.raises(FileNotFound):
            pages.find_file(unknown, tool)


def test_a_failed_job_has_no_file() -> None:
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    rows.end(job_id, "failed")
    with pytest.raises(FileNotFound):
        pages.find_file(attempt_id, "mask")
