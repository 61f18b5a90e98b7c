"""What was used, and what it cost, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from settings import settings
from tests.api.asking import assert_problem
from tests.db import rows


def test_usage_tells_thirty_days_and_the_prices(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_TYPES", "video=H100,mask=L4")
    monkeypatch.setenv("GPU_PRICES", "H100=4.5")
    settings.cache_clear()
    rows.end(rows.accept("mask"))
    told = client.get("/api/usage?by=day,tool").get_json()
    settings.cache_clear()
    today = datetime.now(UTC).date()
    assert (told["until"], told["since"]) == (today.isoformat(), (today - timedelta(days=29)).isoformat())
    assert told["prices"] == {
        "video": {"gpu": "H100", "usd_per_hour": 4.5}, "mask": {"gpu": "L4", "usd_per_hour": None},
    }  # fmt: skip
    assert told["by"] == ["day", "tool"]
    mask = next(row for row in told["data"] if row["tool"] == "mask")
    assert (mask["day"], mask["gpu_seconds"]) == (today.isoformat(), 0)
    assert mask["jobs"] >= 1


@pytest.mark.parametrize(
    ("query", "code"),
    [("by=week", "invalid_input"), ("since=yesterday", "invalid_input"), ("until=2026-13-01", "invalid_input"),
     ("until=9999-12-31", "invalid_input"), ("until=0001-01-01", "invalid_input"),
     ("since=0001-01-01", "invalid_input"),
     ("form=2026-11-25", "unknown_field")],
)  # fmt: skip
def test_usage_refuses_what_it_does_not_know(client: FlaskClient, query: str, code: str) -> None:
    assert_problem(client.get(f"/api/usage?{query}"), 422, code)
