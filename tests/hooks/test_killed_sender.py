"""No end goes unheard, though its sender is killed between send and mark; and what is heard twice has one id."""

from collections.abc import Iterator

import pytest

from benchmarks.report import Figure
from settings import settings
from tests.conftest import Process, Processes
from tests.db import hearing
from tests.hooks import rig, trial
from tests.receiver import Receiver, listening


@pytest.fixture(name="ear")
def listen(database: str, s3: object) -> Iterator[Receiver]:  # noqa: ARG001 - they must run
    with listening() as ear:
        yield ear
    hearing.forget()
    settings.cache_clear()


def test_a_sender_that_is_killed_loses_nothing(ear: Receiver, processes: Processes) -> None:
    def start() -> Process:
        started = processes.start("python", "-m", "tests.hooks.rig", env={rig.EVERY: "7", "WEBHOOK_HOSTS": ear.host})
        started.wait_for(lambda: "watching as" in started.said())
        return started

    found = {one.name: one for one in trial.run(ear, start, jobs=24, patience_s=60, wait=False)}
    assert [one for one in found.values() if not one.ok] == []
    assert count(found, "endings that had to be heard of") == 30
    assert count(found, "kills between send and mark") >= 3
    assert count(found, "heard of more than once") >= 1


def count(found: dict[str, Figure], name: str) -> int:
    return int(found[name].value)
