"""The doctor tries the door of each server that it is told of: one without a password is no matter of its address."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from redis import Redis

from embedded import doctor, locks


def words(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.setenv(name, servers[name])
    told = [*doctor.external()]
    assert all(finding.ok for finding in told)
    return {name: [one.words for one in told if one.name == name] for name in ("REDIS_URL", "DATABASE_URL")}


def test_servers_with_passwords_let_nobody_in(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    told = words(servers, monkeypatch)
    assert [told[name][1] for name in told] == ["lets nobody in without the password"] * 2


def test_108_a_redis_without_a_password_is_named(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Redis.from_url(servers["REDIS_URL"]) as client:
        password = client.config_get("requirepass")["requirepass"]
        client.config_set("requirepass", "")
        try:
            assert "it has no password" in words(servers, monkeypatch)["REDIS_URL"][1]
        finally:
            client.config_set("requirepass", password)


def test_a_postgres_that_trusts_everybody_is_named(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    with trusting(servers["DATABASE_URL"]):
        wait_until(lambda: locks.postgres_opens(servers["DATABASE_URL"]))
        assert "it has no password" in words(servers, monkeypatch)["DATABASE_URL"][1]
    wait_until(lambda: not locks.postgres_opens(servers["DATABASE_URL"]))


@contextmanager
def trusting(url: str) -> Iterator[None]:
    """Let a PostgreSQL trust everybody for a while."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SHOW hba_file")
            file = Path(cursor.fetchall()[0][0])
            whole = file.read_text()
            for rules in (whole.replace("scram-sha-256", "trust"), whole):
                file.write_text(rules)
                cursor.execute("SELECT pg_reload_conf()")
                if rules != whole:
                    yield


@pytest.mark.parametrize(("host", "here"), [
    ("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.0.0.5", False), ("no.such.host.invalid", False),
])  # fmt: skip
def test_only_a_server_of_this_machine_may_have_no_password(host: str, *, here: bool) -> None:
    told = doctor.lock("REDIS_URL", host, "requirepass in its configuration", opened=True)
    assert told.ok is here
    assert here or "give it one (requirepass" in told.words
