"""What was used, and what it cost, over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from settings import settings
from tests.api.asking import assert_problem
from tests.api.test_callers import ask, make, nap, surroundings
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
     ("form=2026-11-25", "unknown_field"), ("=", "unknown_field"), ("by=", "invalid_input"),
     ("by=day,", "invalid_input"), ("since=0001-01-01", "invalid_input"), ("until=0001-01-01", "invalid_input"),
     ("until=9999-12-31", "invalid_input")],
)  # fmt: skip
def test_usage_refuses_what_it_does_not_know(client: FlaskClient, query: str, code: str) -> None:
    assert_problem(client.get(f"/api/usage?{query}"), 422, code)


@pytest.fixture(scope="module")
def locked(app: Flask) -> Iterator[Flask]:  # noqa: ARG001 - it adds the tool nap
    with surroundings(AUTH="keys"):
        yield create_app()


@pytest.fixture
def used(locked: Flask) -> dict[str, str]:
    """Give the keys of two shops, one of which had one job done, the other two."""
    keys = {"one": make(), "two": make()}
    for key in (keys["one"], keys["two"], keys["two"]):
        rows.end(UUID(nap(locked, key).get_json()["job_id"]))
    return keys


def prefix(key: str) -> str:
    return key.split("_")[1]


def read(app: Flask, key: str, query: str = "") -> dict[str, Any]:
    answer = ask(app, key, f"/api/usage?{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def test_a_key_hears_of_its_own_use(locked: Flask, used: dict[str, str]) -> None:
    for key, jobs in ((used["one"], 1), (used["two"], 2)):
        told = read(locked, key, "by=key")
        assert (told["key"], told["total"]["jobs"]) == (prefix(key), jobs)
        assert [(row["key"], row["key_name"], row["jobs"]) for row in told["data"]] == [(prefix(key), "test", jobs)]
        assert read(locked, key, f"key={prefix(key)}")["total"] == told["total"]


def test_a_key_is_refused_what_another_has_used(locked: Flask, used: dict[str, str]) -> None:
    for wanted in (prefix(used["two"]), "nothing", ""):
        refused = ask(locked, used["one"], f"/api/usage?key={wanted}")
        assert "admin" in assert_problem(refused, 403, "scope_missing")["detail"]


def test_an_admin_hears_of_all_or_of_whom_he_names(locked: Flask, used: dict[str, str]) -> None:
    admin = make("admin")
    told = read(locked, admin, "by=key")
    jobs = {row["key"]: row["jobs"] for row in told["data"]}
    assert told["key"] is None
    assert (jobs[prefix(used["one"])], jobs[prefix(used["two"])]) == (1, 2)
    assert told["total"]["jobs"] == sum(jobs.values()) >= 3
    named = read(locked, admin, f"by=tool&key={prefix(used['two'])}")
    assert (named["key"], named["total"]["jobs"]) == (prefix(used["two"]), 2)


def test_where_no_key_is_needed_one_can_be_named(client: FlaskClient, locked: Flask, used: dict[str, str]) -> None:
    assert read(locked, used["two"])["total"] == client.get(f"/api/usage?key={prefix(used['two'])}").get_json()["total"]
    rows.end(rows.accept())  # nobody's, as jobs are without keys
    nobody = next(row for row in client.get("/api/usage?by=key").get_json()["data"] if row["key"] is None)
    assert nobody["key_name"] is None


@pytest.mark.parametrize("wanted", ["nothing", ""])
def test_a_key_that_is_none_is_told(client: FlaskClient, wanted: str) -> None:
    detail = assert_problem(client.get(f"/api/usage?key={wanted}"), 422, "invalid_input")["detail"]
    assert "packshot keys list" in detail
