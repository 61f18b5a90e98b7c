"""The RunPod of a chaos run: what it has written down, it goes on with; what it is told, goes wrong."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import branch as branches
from tests.chaos import lines
from tests.chaos.branch import Branch

BODY = {"input": {"attempt_id": "an-attempt", "params": {"seed": 1}}, "policy": {"ttl": 60_000}}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have handlers answer at once, and give whose jobs they did."""
    asked: list[str] = []

    def attend(job: dict[str, Any], _stop: object, _tell: object) -> dict[str, Any]:
        asked.append(job["id"])
        return {"file": {"r2_path": "…"}}

    monkeypatch.setattr(branches, "attend", attend)
    monkeypatch.setattr(branches, "COLD_S", 0)
    return asked


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def live(ledger: Path, do: Callable[[Branch], Any]) -> Branch:
    """Let a branch live until it has nothing to do."""

    async def live_it() -> Branch:
        cloud = Branch(ledger)
        do(cloud)
        await asyncio.gather(*cloud.doing)
        list(cloud.pass_time())
        return cloud

    return asyncio.run(live_it())


def test_it_writes_down_what_becomes_of_a_job(ledger: Path, done: list[str]) -> None:
    cloud = live(ledger, lambda cloud: cloud.accept("one", BODY))
    (work,) = cloud.works.values()
    assert [line["what"] for line in lines.read(ledger)] == ["accepted", "started", "answered", "ended"]
    assert {line["attempt"] for line in lines.read(ledger)} == {"an-attempt"}
    assert (work.status, done) == ("COMPLETED", [work.id])


def test_after_a_kill_it_does_again_what_had_not_ended_and_knows_what_had(ledger: Path, done: list[str]) -> None:
    first = live(ledger, lambda cloud: cloud.accept("one", BODY))
    told = {"id": "killed-u1", "attempt": "another"}
    lines.add(ledger, what="accepted", endpoint="one", body={"input": {"attempt_id": "another"}}, **told)
    lines.add(ledger, what="started", **told)
    second = live(ledger, Branch.recall)
    assert done == [*first.works, "killed-u1"]
    assert second.works["killed-u1"].status == "COMPLETED"
    known, before = second.works[done[0]], first.works[done[0]]
    assert (known.status, known.output, known.error) == (before.status, before.output, before.error)
    assert abs(known.execution_ms - before.execution_ms) <= 1


def test_what_it_forgets_it_does_not_know_any_more_even_after_a_kill(ledger: Path, done: list[str]) -> None:
    def forget_next(cloud: Branch) -> None:
        cloud.troubles["forget_waiting"] = 1
        cloud.accept("one", BODY)

    assert live(ledger, forget_next).works == {}
    assert live(ledger, Branch.recall).works == {}
    assert done == []


def test_a_job_that_is_forgotten_while_it_runs_goes_on(ledger: Path, done: list[str]) -> None:
    def forget_next(cloud: Branch) -> None:
        cloud.troubles["forget_running"] = 1
        cloud.accept("one", BODY)

    assert live(ledger, forget_next).works == {}
    assert len(done) == 1
    assert "ended" not in {line["what"] for line in lines.read(ledger)}


@pytest.mark.parametrize("deaf", [0, 1])
def test_a_handler_hears_that_it_shall_stop_unless_it_is_deaf(ledger: Path, done: list[str], deaf: int) -> None:
    def cancel_next(cloud: Branch) -> None:
        cloud.troubles["deaf"] = deaf
        cloud.cancel(cloud.accept("one", BODY))

    cloud = live(ledger, cancel_next)
    (work,) = cloud.works.values()
    assert (work.status, cloud.halts[work.id].is_set(), done) == ("CANCELLED", not deaf, [])
