"""What is logged: one line for each thing, with the ids that lead to it and without a secret."""

import json
import logging
from collections.abc import Iterator

import pytest

import journal
from settings import Settings, settings
from tests.canaries import secret

POSTGRES, REDIS = secret("postgres"), secret("redis")

SECRETS = {
    "DATABASE_URL": f"postgresql://packshot:{secret('postgres')}@127.0.0.1:1/none",
    "REDIS_URL": f"redis://:{secret('redis').replace('-', '%2D')}@127.0.0.1:1/0",
    "AWS_ACCESS_KEY_ID": secret("id"),
    "AWS_SECRET_ACCESS_KEY": secret("s3"),
    "RUNPOD_API_KEY": secret("runpod"),
    "HOOK_SECRET": secret("hooks"),
}

KEY = "packshot_0123456789ab_" + "Ab-_" * 10 + "xyz"


@pytest.fixture(params=["text", "json"])
def logger(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[logging.Logger]:
    """Give a logger of a process that has secrets, in either form."""
    for name, value in {**SECRETS, "LOG_FORMAT": request.param}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    journal.configure("INFO")
    capsys.readouterr()
    yield logging.getLogger("test")
    root.handlers[:] = before
    root.setLevel(level)
    journal.begin()
    settings.cache_clear()


def test_every_secret_setting_has_its_canary() -> None:
    secrets = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert {name.lower() for name in SECRETS} == secrets


def fail(value: str) -> None:
    raise ValueError(value)


def test_no_secret_is_in_a_line_nor_in_a_traceback(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (*SECRETS.values(), KEY, REDIS):
        logger.info("told %s", value, extra={"more": value})
        try:
            fail(value)
        except ValueError:
            logger.exception("failed with %s", value)
    said = capsys.readouterr().err
    assert "canary" not in said
    assert KEY[-20:] not in said
    assert "packshot_0123456789ab_[hidden]" in said
    assert said.count("ValueError") >= len(SECRETS)


def test_a_line_is_one_line_whatever_is_in_it(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.info("a prompt\n2026-01-01 INFO all is well\r\x1b[2J\u2028=cmd()", extra={"tool": "a\nb"})
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert not journal.UNPRINTABLE.search(said.rstrip("\n"))


def test_lines_say_what_they_are_about(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    journal.begin(job_id="j1", request_id="r1")
    with journal.about(attempt_id="a1", flow_id=None):
        logger.info("begun", extra={"tool": "mask"})
    logger.info("over")
    journal.begin()
    logger.info("other")
    first, second, third = capsys.readouterr().err.splitlines()
    if settings().log_format == "json":
        told = json.loads(first)
        assert {name: told[name] for name in ("event", "level", "job_id", "request_id", "attempt_id", "tool")} == {
            "event": "begun", "level": "info", "job_id": "j1", "request_id": "r1", "attempt_id": "a1", "tool": "mask",
        }  # fmt: skip
        assert json.loads(third).keys() == {"event", "level", "timestamp"}
    else:
        assert first.endswith(" INFO begun attempt_id=a1 job_id=j1 request_id=r1 tool=mask")
        assert third.endswith(" INFO other")
    assert "flow_id" not in first
    assert "a1" not in second


def test_defaults_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    assert list(journal.secrets_of(settings())) == []
    settings.cache_clear()
