"""Flower starts with a password alone, and only looks on."""

import re

import pytest
from click.testing import CliRunner
from flower import options as known  # noqa: F401 - it tells tornado which options there are
from flower import urls
from tornado.options import options

from embedded import flower
from embedded.cli import main
from settings import settings
from tasks.app import app
from tests.canaries import FLOWER
from tools.errors import InvalidInput


@pytest.mark.parametrize("users", ["", "user", "user:", "user:short", f"user:{FLOWER},other:", ":"])
def test_without_a_password_that_counts_it_does_not_start(users: str) -> None:
    with pytest.raises(InvalidInput, match="FLOWER_BASIC_AUTH"):
        flower.check(users, [])


def test_a_password_is_no_argument_and_nothing_lets_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="read arguments"):
        flower.check(f"user:{FLOWER}", [f"--basic-auth=user:{FLOWER}"])
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    with pytest.raises(InvalidInput, match="UNAUTHENTICATED"):
        flower.check(f"user:{FLOWER}", [])


def test_all_that_changes_something_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "handlers", list(urls.handlers))
    flower.leave_out(flower.ORDERS)
    left = {flower.address(handler) for handler in urls.handlers}
    assert not {one for one in left if re.search("shutdown|pool|apply|send|abort|revoke|limit|timeout|consumer", one)}
    assert any("/api/workers" in one for one in left)
    assert any("/task/" in one for one in left)


def test_packshot_flower_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "")
    refused = CliRunner().invoke(main, ["flower", "--port=5555"])
    assert refused.exit_code == 1
    assert "FLOWER_BASIC_AUTH=user:password" in refused.output


@pytest.mark.parametrize(("control", "shown"), [("off", ["--read-only"]), ("on", [])])
def test_buttons_that_do_nothing_are_not_shown(monkeypatch: pytest.MonkeyPatch, control: str, shown: list[str]) -> None:
    monkeypatch.setenv("FLOWER_CONTROL", control)
    monkeypatch.setenv("FLOWER_BASIC_AUTH", f"user:{FLOWER}")
    monkeypatch.setattr(urls, "handlers", list(urls.handlers))
    started: list[str] = []
    monkeypatch.setattr(app, "start", started.extend)
    settings.cache_clear()
    flower.run(["--port=5555"])
    settings.cache_clear()
    assert started == ["flower", *shown, "--port=5555"]
    assert "read_only" in options
