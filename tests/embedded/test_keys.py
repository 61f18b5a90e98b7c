"""`packshot keys`, and the key that `packshot migrate` makes."""

import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from db import api_keys
from db.base import transaction
from embedded.cli import main
from settings import settings
from storage.bucket import bucket
from tools.allowance import KeyRefused

KEY = re.compile(r"^packshot_[0-9a-f]{12}_[\w-]{43}$", re.MULTILINE)


@pytest.fixture(autouse=True)
def no_keys(database: str, s3: object) -> Iterator[None]:  # noqa: ARG001 - they must run
    bucket.cache_clear()
    with transaction() as session:
        session.execute(text("TRUNCATE api_keys CASCADE"))
    yield
    settings.cache_clear()


def run(*arguments: str) -> Result:
    settings.cache_clear()
    return CliRunner().invoke(main, arguments)


def made(done: Result) -> str:
    """Give the one key that was printed."""
    assert done.exit_code == 0, done.output
    (key,) = KEY.findall(done.stdout)
    return str(key)


def test_a_key_is_printed_once_and_alone_on_its_stream() -> None:
    done = run("keys", "create", "shop")
    key = made(done)
    assert done.stdout == f"{key}\n"
    assert "Bearer" in done.stderr
    assert api_keys.find(key).scopes == {"read", "submit"}
    assert key not in run("keys", "list").output
    assert key.split("_")[1] in run("keys", "list").output


def test_a_key_has_the_scopes_and_bounds_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_PRICES", "L4=3.6")
    bounds = ("--jobs-in-flight", "7", "--gpu-seconds-per-day", "3600", "--money-per-month", "25", "--days", "30")
    key = made(run("keys", "create", "agent", "--scope", "submit", *bounds))
    assert api_keys.find(key).scopes == {"submit"}
    listed = run("keys", "list").output
    assert "0 of 7 jobs under way; 0 of 3600 GPU seconds today; 0 of 25 US dollars this month" in listed
    assert "agent  submit  until " in listed


def test_money_needs_a_price() -> None:
    refused = run("keys", "create", "agent", "--money-per-month", "25")
    assert refused.exit_code
    assert "GPU_PRICES" in refused.output


def test_a_revoked_key_is_worthless_and_says_so() -> None:
    key = made(run("keys", "create", "shop"))
    prefix = key.split("_")[1]
    assert prefix in run("keys", "revoke", prefix).output
    with pytest.raises(KeyRefused):
        api_keys.find(key)
    assert "revoked 20" in run("keys", "list").output
    assert "packshot keys list" in run("keys", "revoke", "nope").output


def test_the_migrations_make_a_first_key_where_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not KEY.search(run("migrate").output)
    monkeypatch.setenv("AUTH", "keys")
    assert api_keys.find(made(run("migrate"))).may("admin")
    assert not KEY.search(run("migrate").output)
