"""The settings and the file that shows them all."""

from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from settings import Settings
from tests import canaries

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def test_the_example_shows_every_setting_and_nothing_else() -> None:
    assert [name.lower() for name in dotenv_values(EXAMPLE)] == list(Settings.model_fields)


def test_the_example_describes_each_in_the_words_of_the_settings() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for name, field in Settings.model_fields.items():
        place = next(place for place, line in enumerate(lines) if line.startswith(f"{name.upper()}="))
        assert lines[place - 1] == f"# {field.description}"


def test_the_example_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    defaults = Settings()
    for name, value in dotenv_values(EXAMPLE).items():
        monkeypatch.setenv(name, value or "")
    assert Settings() == defaults


#: The secret in addresses that are refused.
WRONG = canaries.secret("wrong")

RUNPOD = {"RUNPOD_API_KEY": canaries.RUNPOD, "RUNPOD_ENDPOINTS": "generate=abc123, mask=d-4"}


def read(monkeypatch: pytest.MonkeyPatch, **env: str) -> Settings:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_each_tool_has_an_endpoint_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().endpoints == {}
    assert read(monkeypatch, **RUNPOD).endpoints == {"generate": "abc123", "mask": "d-4"}


@pytest.mark.parametrize("endpoints", ["generate", "generate=", "=abc", "generate=abc mask=def", "generate=a/b", ","])
def test_an_endpoint_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, endpoints: str) -> None:
    with pytest.raises(ValidationError, match="give tool=endpoint"):
        read(monkeypatch, RUNPOD_API_KEY=canaries.RUNPOD, RUNPOD_ENDPOINTS=endpoints)


@pytest.mark.parametrize(("name", "url"), [
    ("REDIS_URL", WRONG), ("REDIS_URL", f"http://{WRONG}@redis"), ("REDIS_URL", "redis://"),
    ("S3_ENDPOINT_URL", f"{WRONG}.r2.cloudflarestorage.com"), ("S3_ENDPOINT_URL", "https://"),
    ("DATABASE_URL", f"mysql://user:{WRONG}@host/name"),
])  # fmt: skip
def test_an_address_that_leads_nowhere_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    with pytest.raises(ValidationError, match="give a URL like") as refused:
        read(monkeypatch, **{name: url})
    assert WRONG not in str(refused.value)


def test_half_of_what_runpod_needs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="needs RUNPOD_API_KEY"):
        read(monkeypatch, RUNPOD_ENDPOINTS="mask=abc")
    with pytest.raises(ValidationError, match="openssl rand"):
        read(monkeypatch, **RUNPOD, PUBLIC_URL="https://packshot.example", HOOK_SECRET="short")
    assert read(monkeypatch, HOOK_SECRET=canaries.HOOKS).public_url
