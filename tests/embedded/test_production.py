"""The doctor of production: what is well on a laptop is not well enough where others depend on it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import delete, text

from db import watchers
from db.base import soon, transaction
from db.watchers import Watcher
from embedded import production
from settings import settings
from storage.bucket import bucket
from tests.canaries import HOOKS, RUNPOD
from tests.conftest import renew_celery
from tests.db import rows
from tests.lookout import watch

pytestmark = pytest.mark.usefixtures("database", "s3")


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """Begin without a job, with a watcher."""
    bucket.cache_clear()
    renew_celery()
    with transaction() as session:
        session.execute(text("TRUNCATE jobs CASCADE"))
    watchers.beat("test")
    yield
    settings.cache_clear()


def wrong() -> dict[str, str]:
    return {finding.name: finding.words for finding in production.examine() if not finding.ok}


def test_a_house_with_secrets_of_its_own_is_fit_for_others(servers: Mapping[str, str]) -> None:
    assert servers["DATABASE_URL"]
    assert wrong() == {}
    assert {"schema", "clock", "redis", "bucket", "watchers", "workers"} <= {one.name for one in production.examine()}


def test_passwords_that_everybody_knows_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "packshot-secret")
    settings.cache_clear()
    assert "openssl rand -hex 32" in {one.name: one.words for one in production.secrets()}["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("DATABASE_URL", "postgresql://packshot:packshot@postgres/packshot")
    settings.cache_clear()
    assert not next(one.ok for one in production.secrets() if one.name == "DATABASE_URL")


def test_a_redis_that_forgets_is_named(servers: Mapping[str, str], redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "throws messages away" in wrong()["redis"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
        watch.hear_folder(Path(servers["PACKSHOT_DATA_DIR"]))  # of what was said so far, the file is deleted
        client.config_set("appendonly", "no")
        try:
            assert "forgets all at a restart" in wrong()["redis"]
        finally:
            client.config_set("appendonly", "yes")


def test_without_a_watcher_or_a_worker_it_says_whom_to_start() -> None:
    with transaction() as session:
        session.execute(delete(Watcher))
    assert "packshot watch" in wrong()["watchers"]
    rows.change(rows.accept("mask"), created_at=soon(-production.OLD_S - 5))
    assert "jobs of mask wait" in wrong()["workers"]


def test_endpoints_want_prices_and_an_address_that_runpod_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RUNPOD_API_KEY": RUNPOD, "RUNPOD_ENDPOINTS": "mask=abc"}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    assert {one.name for one in production.spending()} == {"prices", "webhooks"}
    known = {"GPU_TYPES": "mask=L4", "GPU_PRICES": "L4=0.5", "PUBLIC_URL": "https://packshot.example",
             "HOOK_SECRET": HOOKS}  # fmt: skip
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    assert list(production.spending()) == []
