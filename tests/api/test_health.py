"""Readiness names what it checked; without a database or a broker the API still answers, soon and plainly."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from time import monotonic
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, text

from api import health
from db import watchers
from db.base import transaction
from db.watchers import Watcher
from embedded.ports import any_free
from tests.api.asking import assert_problem, get, post, serve
from tests.conftest import Processes, wait_until

CHECKS = ["database", "broker", "bucket", "migrations", "watcher"]


def test_a_process_that_answers_is_alive(client: FlaskClient) -> None:
    assert client.get("/health").get_json() == {"status": "ok"}


def test_ready_names_what_it_checked(client: FlaskClient) -> None:
    watchers.beat("test")
    answer = client.get("/ready")
    assert answer.status_code == 200
    assert answer.get_json() == {"status": "ready", "checks": dict.fromkeys(CHECKS, "ok")}


def test_a_crowd_that_asks_costs_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made, go = [], Event()

    def check() -> str:
        made.append(1)
        go.wait(30)
        return "ok"

    monkeypatch.setattr(health, "CHECKS", {"slow": check})
    with ThreadPoolExecutor(8) as crowd:
        asked = [crowd.submit(health.look) for _ in range(8)]
        wait_until(lambda: health.under_way is not None and bool(made))
        go.set()
        assert [one.result() for one in asked] == [{"slow": "ok"}] * 8
    assert len(made) < 8
    assert health.look() == {"slow": "ok"}
    assert health.under_way is None


def test_anybody_may_ask_and_hears_no_name_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> str:
        raise OSError("no route to db.internal.example")

    monkeypatch.setattr(health, "CHECKS", {"database": check})
    assert health.look() == {"database": "OSError: our log says more"}


def test_without_a_watcher_we_are_not_ready(client: FlaskClient) -> None:
    with transaction() as session:
        session.execute(delete(Watcher))
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert missing(answer.get_json()) == {"watcher"}
    assert "packshot watch" in answer.get_json()["checks"]["watcher"]


def test_without_the_newest_migration_we_are_not_ready(client: FlaskClient) -> None:
    watchers.beat("test")
    with transaction() as session:
        known = session.scalar(text("DELETE FROM alembic_version RETURNING version_num"))
    try:
        answer = client.get("/ready")
    finally:
        with transaction() as session:
            session.execute(text("INSERT INTO alembic_version VALUES (:known)"), {"known": known})
    assert answer.status_code == 503
    assert missing(answer.get_json()) == {"migrations"}


def test_an_empty_database_is_no_crash(starter: Processes, servers: Mapping[str, str]) -> None:
    url = servers["DATABASE_URL"].rsplit("/", 1)[0] + "/postgres"
    ready = get(serve(starter, {"DATABASE_URL": url}) + "/ready")
    assert ready.status_code == 503
    assert missing(ready.json()) == {"migrations", "watcher"}


def missing(body: dict[str, dict[str, str]]) -> set[str]:
    """Name the checks that failed."""
    assert list(body["checks"]) == CHECKS
    return {name for name, seen in body["checks"].items() if seen != "ok"}


def closed(scheme: str, path: str) -> str:
    """Give a URL where nobody is at home."""
    return f"{scheme}://127.0.0.1:{any_free(set())}/{path}"


@pytest.fixture(scope="module")
def without_database(starter: Processes, database: str) -> str:  # noqa: ARG001 - the other servers run
    return serve(starter, {"DATABASE_URL": closed("postgresql", "packshot")})


def test_without_a_database_a_request_is_refused_soon(without_database: str) -> None:
    site, asked = without_database, {"image_url": "r2://packshot/uploads/a.png", "object_name": "bag"}
    paths = ("jobs", "models", "templates", f"nap/{uuid4()}", f"jobs/{uuid4()}?wait=5")
    calls = [partial(get, f"{site}/api/{path}") for path in paths]
    calls += [partial(post, f"{site}/api/{path}", {}, Idempotency_Key="k") for path in ("nap", "nap/async")]
    calls += [
        partial(post, f"{site}/api/templates", {"name": "n", "prompt": "p"}),
        partial(post, f"{site}/api/nap", {}),
    ]
    for call in calls:
        begun = monotonic()
        answer = call()
        assert monotonic() - begun < 3
        assert assert_problem(answer, 503, "unavailable")["retryable"] is True
        assert int(answer.headers["Retry-After"]) > 0
    assert_problem(post(f"{site}/api/mask", asked), 404, "file_not_found")
    ready = get(f"{site}/ready")
    assert ready.status_code == 503
    assert missing(ready.json()) == {"database", "migrations", "watcher"}


def test_without_a_broker_jobs_are_taken_in_all_the_same(starter: Processes, database: str) -> None:  # noqa: ARG001 - it must run
    site = serve(starter, {"REDIS_URL": closed("redis", "0")})
    begun = monotonic()
    assert post(f"{site}/api/nap/async", {}).status_code == 202
    assert monotonic() - begun < 5
    begun = monotonic()
    assert post(f"{site}/api/nap/async", {}).status_code == 202
    assert monotonic() - begun < 1
    assert missing(get(f"{site}/ready").json()) == {"broker", "watcher"} - watching()


def watching() -> set[str]:
    """Name the watcher, if one was seen of late."""
    return {"watcher"} if watchers.count() else set()


def test_without_a_bucket_files_are_refused(starter: Processes, database: str) -> None:  # noqa: ARG001 - it must run
    site = serve(starter, {"S3_ENDPOINT_URL": closed("http", "")})
    asked = {"image_url": "r2://packshot/uploads/a.png", "object_name": "bag"}
    answer = post(f"{site}/api/mask", asked)
    assert_problem(answer, 503, "storage_failed")
    assert "Retry-After" in answer.headers
    assert missing(get(f"{site}/ready").json()) == {"bucket", "watcher"} - watching()
