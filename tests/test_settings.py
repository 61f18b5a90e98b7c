"""The settings and the file that shows them all."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from settings import Settings

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
