"""What a job costs: by the price of the GPU that does its tool, if somebody has told both."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from db import flow_pages, pages, prices, runs, usage
from db.base import soon, transaction
from db.jobs import Job
from db.runs import Meter
from db.traces import Attempt
from settings import settings
from tests.db import rows

Setting = Callable[..., None]


@pytest.fixture(name="setting")
def set_prices(tables: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:  # noqa: ARG001 - they must be there
    """Give what sets the kinds of GPU and their prices, and begin without a job."""
    with transaction() as session:
        session.execute(text("TRUNCATE jobs CASCADE"))

    def put(gpus: str, table: str) -> None:
        monkeypatch.setenv("GPU_TYPES", gpus)
        monkeypatch.setenv("GPU_PRICES", table)
        settings.cache_clear()

    put("", "")
    yield put
    settings.cache_clear()


def far(tool: str = "video") -> tuple[UUID, UUID]:
    """Start a job at RunPod; give its id and its attempt's."""
    job_id = rows.accept(tool)
    with transaction() as session:
        return job_id, rows.lock(session, job_id).start({}, {}, rows.SIGNATURE, "an-endpoint").id


def test_an_hour_costs_its_price_and_nothing_costs_nothing(setting: Setting) -> None:
    setting("video=H100 SXM, generate=L4", "H100 SXM=4.5,L4=0.5")
    assert prices.tell("video", 3_600_000) == ("H100 SXM", 4.5)
    assert prices.tell("generate", 7_200_000) == ("L4", 1.0)
    assert prices.tell("video", 0) == ("H100 SXM", 0.0)
    assert prices.tell("video", None) == ("H100 SXM", None)


def test_without_a_kind_or_its_price_nobody_knows_what_it_cost(setting: Setting) -> None:
    setting("video=H100", "L4=0.5")
    assert prices.tell("video", 1000) == ("H100", None)
    assert prices.tell("mask", 1000) == (None, None)
    assert prices.tell("mask", 0) == (None, 0.0)


def test_all_attempts_are_paid_at_the_price_of_their_time(setting: Setting) -> None:
    setting("video=H100", "H100=3.6")
    job_id, first = far()
    with transaction() as session:
        fresh = rows.lock(session, job_id).lose("an-endpoint")
        assert fresh
    runs.charge(first, Meter(2000, 1000))
    setting("video=H100", "H100=7.2")
    runs.charge(fresh.id, Meter(500, 1000))
    shown = pages.read(job_id)
    assert (shown["gpu_seconds"], shown["queue_seconds"]) == (2.0, 2.5)
    assert shown["cost_usd"] == pytest.approx(0.001 + 0.002)


def test_one_attempt_without_a_price_leaves_the_cost_open(setting: Setting) -> None:
    job_id, first = far()
    with transaction() as session:
        fresh = rows.lock(session, job_id).lose("an-endpoint")
        assert fresh
    runs.charge(first, Meter(None, 1000))
    setting("video=H100", "H100=7.2")
    runs.charge(fresh.id, Meter(None, 1000))
    assert pages.read(job_id)["cost_usd"] is None


def test_what_waited_on_our_own_queue_waited_until_its_claim(setting: Setting) -> None:  # noqa: ARG001 - it begins anew
    job_id = rows.accept()
    attempt_id = rows.start(job_id)
    with transaction() as session:
        attempt = session.get_one(Attempt, attempt_id)
        attempt.claimed_at = attempt.created_at + timedelta(seconds=7)
    runs.charge(attempt_id, Meter(execution_ms=0))
    shown = pages.read(job_id)
    assert (shown["queue_seconds"], shown["gpu_seconds"], shown["cost_usd"]) == (7.0, 0.0, 0.0)


def spent(tool: str, ms: int, day: datetime) -> UUID:
    """End a job that took so long on a GPU, on this day."""
    job_id, attempt_id = far(tool)
    runs.charge(attempt_id, Meter(1000, ms))
    rows.end(job_id)
    rows.change(job_id, ended_at=day)
    return job_id


#: Days that no other test ends jobs on.
MONDAY = datetime(2031, 3, 3, 23, 59, 59, tzinfo=UTC)


def read(*by: str, days: int = 2) -> dict[str, Any]:
    start = datetime(2031, 3, 3, tzinfo=UTC)
    return usage.read(by, start, start + timedelta(days=days))


def test_usage_adds_up_by_day_tool_and_flow(setting: Setting) -> None:
    setting("video=H100", "H100=3.6")
    spent("video", 2000, MONDAY)
    spent("video", 3000, MONDAY + timedelta(seconds=1))
    spent("generate", 4000, MONDAY)
    told = read("day", "tool")
    assert [(row["day"], row["tool"], row["jobs"], row["gpu_seconds"], row["cost_usd"]) for row in told["data"]] == [
        ("2031-03-04", "video", 1, 3.0, 0.003), ("2031-03-03", "generate", 1, 4.0, 0.0),
        ("2031-03-03", "video", 1, 2.0, 0.002),
    ]  # fmt: skip
    assert told["total"] == {
        "jobs": 3, "gpu_seconds": 9.0, "queue_seconds": 3.0, "unpriced_gpu_seconds": 4.0, "cost_usd": 0.005,
    }  # fmt: skip
    assert read("day", days=1)["total"]["jobs"] == 2  # midnight is the next day's
    ((row),) = read("flow")["data"]
    assert (row["flow"], row["jobs"]) == (None, 3)


def test_more_rows_than_are_told_are_named(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it begins anew
    monkeypatch.setattr(usage, "MOST_ROWS", 1)
    spent("video", 1, MONDAY)
    assert (len(read("tool")["data"]), read("tool")["cut"]) == (1, False)
    spent("mask", 1, MONDAY)
    assert (len(read("tool")["data"]), read("tool")["cut"], read("tool")["total"]["jobs"]) == (1, True, 2)


def test_what_a_tool_usually_costs_is_told_from_ten_own_runs_at_todays_price(setting: Setting) -> None:
    def run(seconds: float) -> None:
        with transaction() as session:
            session.add(Job(
                id=uuid4(), root_id=uuid4(), tool="video", given={}, status="completed", gpu_seconds=seconds,
                started_at=soon(-10), ended_at=soon(0),
            ))  # fmt: skip

    for n in range(9):
        run(n + 1)
    nothing = {"seconds": None, "gpu_seconds": None, "cost_usd": None}
    assert flow_pages.read_usual("video") == nothing
    run(10)
    usual = flow_pages.read_usual("video")
    assert usual["gpu_seconds"] == {"p50": 5.5, "p90": 9.1, "runs": 10}
    assert usual["cost_usd"] is None
    setting("video=H100", "H100=36")
    assert flow_pages.read_usual("video")["cost_usd"] == {"p50": 0.055, "p90": 0.091, "runs": 10}
    assert flow_pages.read_usual("generate") == nothing
