"""The doctor of production: what is well on a laptop is not well enough where others depend on it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from sqlalchemy import delete, text

from db import api_keys, watchers
from db.base import soon, transaction
from db.watchers import Watcher
from embedded import production
from embedded.ports import any_free
from settings import settings
from storage.bucket import Bucket, Stored, bucket
from tasks.app import app
from tests.canaries import HOOKS, RUNPOD, secret
from tests.conftest import Processes, renew_celery
from tests.db import rows
from tests.gateway.gateway import Gateway
from tests.lookout import watch
from tools import catalog
from tools.errors import StorageRefused

pytestmark = pytest.mark.usefixtures("database", "s3")


@pytest.fixture(scope="module", autouse=True)
def worker(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # noqa: ARG001 - they must run
    """Run a worker of all queues, which heeds orders."""
    processes = Processes(tmp_path_factory.mktemp("production"))
    processes.worker("main,resume,gpu", "-P", "solo", env={"FLOWER_CONTROL": "on"})
    yield
    processes.end()


@pytest.fixture(autouse=True)
def tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without a job, with a watcher and a key."""
    monkeypatch.setenv("AUTH", "keys")
    settings.cache_clear()
    bucket.cache_clear()
    renew_celery()
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, api_keys CASCADE"))
    watchers.beat("test")
    api_keys.create("test", ["read"])
    yield
    settings.cache_clear()
    bucket.cache_clear()


def wrong() -> dict[str, str]:
    return {finding.name: finding.words for finding in production.examine() if not finding.ok}


def test_a_house_with_secrets_of_its_own_is_fit_for_others(servers: Mapping[str, str]) -> None:
    assert servers["DATABASE_URL"]
    assert wrong() == {}
    names = {one.name for one in production.examine()}
    assert {"database", "schema", "keys", "clock", "redis", "bucket", "watchers", "workers", "jobs"} <= names
    assert bucket().find("uploads/doctor-") == []


def test_a_house_that_nobody_may_ask_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    api_keys.revoke(api_keys.show_all()[0][0].prefix)
    assert "packshot keys create" in wrong()["keys"]
    monkeypatch.setenv("AUTH", "off")
    settings.cache_clear()
    assert "set AUTH=keys" in wrong()["keys"]


def test_a_queue_without_a_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app.control.cancel_consumer("gpu", reply=True)
    assert wrong()["workers"].startswith("none has answered for gpu; ")
    elsewhere = ",".join(f"{tool}=abc" for tool, each in catalog.TOOLS.items() if not each.local)
    for name, value in {"RUNPOD_API_KEY": RUNPOD, "RUNPOD_ENDPOINTS": elsewhere}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    assert production.check_workers() == "1 answer for main, resume"
    app.control.add_consumer("gpu", reply=True)


def test_why_the_database_lets_nobody_in_is_said_once(processes: Processes, database: str) -> None:
    told = database.replace(urlsplit(database).password or "", secret("nobody"))
    doctor = processes.start("packshot", "doctor", "--production", env={"DATABASE_URL": told, "AUTH": "keys"})
    assert doctor.popen.wait(60) == 1
    failed = [line for line in doctor.said().splitlines() if line.startswith("FAIL")]
    assert sum("password authentication failed" in line for line in failed) == 1
    assert "start PostgreSQL, or correct DATABASE_URL" in failed[0]
    assert [line.split(maxsplit=2)[1] for line in failed] == ["database", "schema", "keys", "clock", "watchers", "jobs"]


def test_a_redis_that_is_away_is_named(processes: Processes) -> None:
    told = f"redis://:{secret('nobody')}@127.0.0.1:{any_free(set())}/0"
    doctor = processes.start("packshot", "doctor", "--production", env={"REDIS_URL": told, "AUTH": "keys"})
    assert doctor.popen.wait(60) == 1
    assert doctor.said().count("start Redis, or correct REDIS_URL") == 2
    assert "Traceback" not in doctor.said()


@pytest.mark.parametrize(("name", "value", "words"), [
    ("S3_BUCKET", "nowhere", "There is no bucket nowhere: create it, or correct S3_BUCKET."),
    ("AWS_SECRET_ACCESS_KEY", secret("nobody"), "The bucket answered 403: check its name, its keys and their rights."),
])  # fmt: skip
def test_a_bucket_that_is_not_ours_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    settings.cache_clear()
    assert wrong()["bucket"] == words


class Careless(Bucket):
    """Lets anybody overwrite what lies there, as S3 servers did that know no If-None-Match."""

    def put(self, key: str, body: bytes | Path, **options: Any) -> Stored:
        return super().put(key, body, **{**options, "if_absent": False})


class ReadOnly(Bucket):
    """Heeds a key that may only read."""

    def put(self, key: str, body: bytes | Path, **_: Any) -> Stored:
        raise StorageRefused(f"The bucket answered 403 to {key} of {len(body)}.")  # type: ignore[arg-type]  # it is bytes


@pytest.mark.parametrize(("kind", "words"), [(Careless, "no claim would hold"), (ReadOnly, "answered 403")])
def test_a_bucket_that_would_not_do_is_named(monkeypatch: pytest.MonkeyPatch, kind: type[Bucket], words: str) -> None:
    ours = bucket()
    monkeypatch.setattr(production, "bucket", lambda: kind(ours._client, ours.name))  # no server here is like that
    assert words in wrong()["bucket"]
    assert ours.find("uploads/doctor-") == []


def test_an_endpoint_that_may_run_no_worker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    gateway.start()
    for name, value in gateway.customer_env("mask").items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    assert list(production.bounds()) == []
    gateway.cloud.scale["nap-endpoint"] = {"workersMin": 0, "workersMax": 0}
    assert [one.words for one in production.bounds()] == [
        "RunPod may run no worker for mask: packshot endpoints mask --max 3"
    ]
    gateway.stop()


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
    assert "jobs of mask wait" in wrong()["jobs"]


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
