"""The judge of a run is no judge unless it names what is wrong: each test puts one wrong into a sound run."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.case import Case
from tests.chaos.evidence import SECRETS, Evidence, leaks, secrets
from tests.chaos.figures import percentile, recoveries, summarise, waits
from tests.chaos.invariants import judge
from tests.chaos.order import Order, Step

ORDERS = [
    Order(0, 0, "http", [Step("far", 2)], keyed=True),
    Order(1, 0, "chain", [Step("near", 1), Step("far", 1)]),
    Order(2, 0, "python", [Step("near", 1, "refuse")]),
    Order(3, 0, "http", [Step("far", 9)], cancel_after_s=1),
]


def job(name: str, tool: str, seed: int, since: float, until: float, **more: Any) -> dict[str, Any]:
    """Make a row of a job that completed."""
    file = {"r2_path": f"r2://packshot/{tool}s/attempt-{name}.png", "size": 3, "sha256": "abc"}
    row: dict[str, Any] = {"id": name, "tool": tool, "status": "completed", "stage": "completed", "seed": seed}
    row |= {name: [] for name in ("upstream", "members", "drawn")}
    return {**row, "code": None, "file": file, "created": since, "ended": until, "due": False, **more}


def attempt(name: str, endpoint: str | None, since: float, until: float, **more: Any) -> dict[str, Any]:
    """Make a row of its only attempt."""
    row = {"id": f"attempt-{name}", "job": name, "n": 1, "endpoint": endpoint, "execution_ms": 1000}
    file = None if endpoint else {"r2_path": "…"}
    return {**row, "file": file, "created": since, "ended": until, "stopping": False, **more}


def ran(name: str, since: float, until: float, run: str = "") -> list[dict[str, Any]]:
    """Write the diary of a run."""
    told = {"attempt": f"attempt-{name}", "run": run or f"run-{name}", "seed": 0}
    return [{"at": since, "what": "began", **told}, {"at": until, "what": "ended", **told}]


def at_runpod(name: str, since: float, until: float, status: str = "COMPLETED") -> list[dict[str, Any]]:
    """Write RunPod's ledger of a job."""
    told = {"id": f"remote-{name}", "attempt": f"attempt-{name}"}
    return [{"at": since, "what": "accepted", **told}, {"at": until, "what": "answered", "file": True, **told},
            {"at": until, "what": "ended", "status": status, "paid_ms": 1000, **told}]  # fmt: skip


def taken(name: str, order: int, seed: int) -> dict[str, Any]:
    """Write that a customer was told that it is taken in."""
    return {"at": 100.0, "what": "ok", "order": order, "attempt": 0, "step": seed % 10, "seed": seed, "job_id": name}


def poll(name: str, asked: float, status: str, **more: Any) -> dict[str, Any]:
    """Write what a customer was shown."""
    told = {"http": 200, "status": status, "progress": 0.0, "result": None, "error": None}
    return {"at": asked, "what": "poll", "job_id": name, "asked": asked, **told, **more}


def heard(name: str, end: str) -> dict[str, Any]:
    """Write that a receiver of webhooks heard of an end."""
    return {"at": 110.0, "id": f"msg_{name}", "type": f"job.{end}", "job": name}


@pytest.fixture
def sound() -> Evidence:
    """Give a run in which all is well, though PostgreSQL was killed."""
    names = {"a": "far", "b": "near", "c": "far"}
    return Evidence(
        history=[
            taken("a", 0, 0), taken("b", 1, 1000), taken("c", 1, 1001), taken("d", 2, 2000), taken("e", 3, 3000),
            poll("a", 101, "pending"), poll("a", 102, "processing", progress=0.4),
            poll("a", 104, "completed", progress=1.0), poll("a", 105, "completed", progress=1.0),
            {**poll("a", 106, "pending"), "http": 503, "status": None},
        ],
        faults=[{"at": 105, "until": 106, "name": "kill postgres", "part": "postgres", "told": None},
                {"at": 107, "until": 107, "name": "forge", "part": "api", "told": 404}],
        ledger=[*at_runpod("a", 101, 103), *at_runpod("c", 104, 106), *at_runpod("e", 101, 102, "CANCELLED")],
        heard=[heard(name, end)
               for name, end in zip("abcde", ["completed"] * 3 + ["failed", "cancelled"], strict=True)],
        diary=[*ran("a", 101, 103), *ran("b", 101, 102), *ran("c", 104, 106), *ran("d", 101, 101.1)],
        jobs=[
            job("a", "far", 0, 100, 103.5), job("b", "near", 1000, 100, 102.5),
            job("c", "far", 1001, 100, 106.5, upstream=["b"], drawn=["b"]),
            job("d", "near", 2000, 100, 101.5, status="failed", code="object_not_found", file=None),
            job("e", "far", 3000, 100, 101.5, status="cancelled", code="cancelled", file=None),
        ],
        attempts=[
            attempt("a", "far-endpoint", 100.5, 103.5), attempt("b", None, 100.5, 102.5),
            attempt("c", "far-endpoint", 103, 106.5), attempt("d", None, 100.5, 101.5, file=None),
            attempt("e", "far-endpoint", 100.5, 101.5, execution_ms=None),
        ],
        events=[{"job": name, "name": end, "at": 110}
                for name, end in zip("abcde", ["completed"] * 3 + ["failed", "cancelled"], strict=True)],
        objects=[{"key": f"{tool}s/attempt-{name}.png", "size": 3, "sha256": "abc", "decodes": True}
                 for name, tool in names.items()],
        left=[{"queue": "main", "messages": 0}],
    )  # fmt: skip


def whats(evidence: Evidence) -> set[str]:
    """Name what is wrong."""
    return {f"{one.invariant} {one.what}" for one in judge(Case(evidence, ORDERS))}


def test_a_sound_run_has_no_violation(sound: Evidence) -> None:
    assert judge(Case(sound, ORDERS)) == []


#: What is done to which line of the sound run, and what must be named then.
WRONGS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "a job never ends": ("I1 lost", "jobs", 0, {"status": "processing"}),
    "a job fails for no reason": ("I1 wrong end", "jobs", 0, {"status": "failed", "code": "no_output"}),
    "the bucket is blamed though it was well": (
        "I1 wrong end",
        "jobs",
        0,
        {"status": "failed", "code": "storage_failed"},
    ),
    "poisoned after one attempt": ("I1 wrong end", "jobs", 0, {"status": "failed", "code": "poisoned"}),
    "what should fail completes": ("I1 wrong end", "jobs", 3, {"status": "completed", "code": None}),
    "cancelled, and nobody asked for it": ("I1 wrong end", "jobs", 0, {"status": "cancelled", "code": "cancelled"}),
    "cancelled for a step before that completed": (
        "I1 wrong end",
        "jobs",
        2,
        {"status": "cancelled", "code": "upstream_failed"},
    ),
    "a row of no order": ("I1 wrong end", "jobs", 0, {"seed": 99_000}),
    "an end without an event": ("I1 two endings", "events", 0, {"name": "started"}),
    "one request made two jobs": ("I2 made twice", "jobs", 1, {"seed": 0}),
    "one key was answered with two jobs": ("I2 two ids", "history", 0, {"seed": 1000}),
    "RunPod was paid and no row says so": ("I3 unbilled", "attempts", 0, {"execution_ms": None}),
    "more is charged than was paid": ("I3 overbilled", "attempts", 0, {"execution_ms": 90_000}),
    "twice of what was paid is charged": ("I3 overbilled", "attempts", 0, {"execution_ms": 2000}),
    "twice of what was paid is charged after a blow": ("I3 overbilled", "attempts", 2, {"execution_ms": 2001}),
    "nothing is charged": ("I3 underbilled", "attempts", 0, {"execution_ms": 0}),
    "a file is not as its row says": ("I4 file", "objects", 0, {"sha256": "abd"}),
    "a file cannot be read": ("I4 file", "objects", 1, {"decodes": False}),
    "a file is missing": ("I4 file", "objects", 2, {"key": "fars/attempt-a.json"}),
    "a completed job that nobody did": ("I5 never done", "diary", 1, {"what": "alive"}),
    "a step began before the one before it ended": ("I5 out of order", "diary", 4, {"at": 102.0}),
    "a step was handed a result twice": ("I5 handed wrongly", "jobs", 2, {"drawn": ["b", "b"]}),
    "a step was handed nothing": ("I5 handed wrongly", "jobs", 2, {"drawn": []}),
    "somebody must look after an ended job": ("I6 orphan", "jobs", 0, {"due": True}),
    "an attempt goes on": ("I6 orphan", "attempts", 0, {"ended": None}),
    "an attempt is still to be stopped": ("I6 orphan", "attempts", 0, {"stopping": True}),
    "a message is left": ("I6 orphan", "left", 0, {"messages": 2}),
    "an object of no attempt": ("I6 orphan", "objects", 0, {"key": "claims/nobody"}),
    "a job goes on at RunPod": ("I6 orphan", "ledger", 2, {"what": "told"}),
    "an end that nobody heard of": ("I7 never heard of", "heard", 0, {"job": "z"}),
    "an end that was told otherwise": ("I7 heard of otherwise", "heard", 0, {"type": "job.failed"}),
    "an end that changes": ("I8 went back", "history", 8, {"status": "failed"}),
    "a result that changes": ("I8 went back", "history", 8, {"result": {"r2_path": "another"}}),
    "a status that goes back": ("I8 went back", "history", 5, {"status": "processing", "asked": 102.5}),
    "progress that goes back": ("I8 went back", "history", 5, {"status": "processing", "progress": 0.5}),
    "a 500": ("I9 answer", "history", 9, {"http": 500}),
    "a 503 while all is well": ("I9 answer", "history", 9, {"at": 200.0}),
    "a liar is believed": ("I9 liar", "faults", 1, {"told": 200}),
}


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: str(wrong).replace(" ", "-"))
def test_what_is_wrong_is_named(sound: Evidence, wrong: str) -> None:
    named, table, place, change = WRONGS[wrong]
    lines = getattr(sound, table)
    lines[place] = {**lines[place], **change}
    assert named in whats(sound)


def test_a_job_that_was_taken_in_and_has_no_row_is_lost(sound: Evidence) -> None:
    sound.history.append(taken("z", 2, 2010))
    assert "I1 lost" in whats(sound)


def test_an_order_that_nobody_ever_took_in_is_named(sound: Evidence) -> None:
    sound.history = [line for line in sound.history if line.get("job_id") != "d"]
    assert whats(sound) == {"I1 never taken in"}


def test_a_chord_that_was_sent_in_part_is_not_lost_where_nobody_was_told_that_it_was_taken_in(sound: Evidence) -> None:
    waits = {"status": "pending", "stage": "waiting_for_upstream", "members": ["b", "never sent"]}
    sound.jobs.append(job("f", "far", 2010, 100, 101, upstream=["b"], **waits))
    assert whats(sound) == set()
    sound.history.append(taken("f", 2, 2010))
    assert whats(sound) == {"I1 lost"}
    sound.history.pop()
    sound.jobs[-1]["members"] = ["b"]
    assert whats(sound) == {"I1 lost"}


def test_a_second_end_is_named(sound: Evidence) -> None:
    sound.events.append({"job": "a", "name": "failed", "at": 111})
    assert whats(sound) == {"I1 two endings"}


def test_two_live_runs_of_one_job_are_named_and_two_after_each_other_are_not(sound: Evidence) -> None:
    sound.attempts.append(attempt("a", None, 101, 101.8, id="attempt-a2", n=2, file=None))
    sound.diary += [{**line, "attempt": "attempt-a2"} for line in ran("a", 100.6, 100.9, "second")]
    assert whats(sound) == set()
    sound.diary += [{**line, "attempt": "attempt-a2"} for line in ran("a", 101.5, 101.7, "third")]
    assert whats(sound) == {"I3 doubled live"}


def test_one_attempt_that_runs_twice_at_once_is_named(sound: Evidence) -> None:
    sound.diary += ran("a", 102, 102.5, "of a copy")
    assert whats(sound) == {"I3 doubled live"}


def test_a_finished_result_that_is_computed_again_is_named(sound: Evidence) -> None:
    again = deepcopy(sound)
    again.diary += ran("a", 103.2, 103.4, "again")
    assert whats(again) == {"I3 recomputed"}
    near = deepcopy(sound)
    near.diary += ran("b", 102.1, 102.4, "again")
    assert whats(near) == {"I3 recomputed"}


def test_a_run_that_was_killed_before_its_result_was_kept_may_be_done_again(sound: Evidence) -> None:
    sound.diary += ran("a", 100.6, 100.8, "killed")
    assert whats(sound) == set()


def test_the_bucket_may_be_blamed_when_it_was_away(sound: Evidence) -> None:
    sound.faults.append({"at": 102, "until": 103, "name": "kill seaweedfs", "part": "seaweedfs", "told": None})
    sound.jobs[0] |= {"status": "failed", "code": "storage_failed", "file": None}
    sound.events[0] = {"job": "a", "name": "failed", "at": 103.5}
    sound.heard[0] = heard("a", "failed")
    assert whats(sound) == set()


def test_a_job_may_overrun_its_time_only_where_those_who_watch_it_were_hit(sound: Evidence) -> None:
    orders = [*ORDERS[:3], Order(3, 0, "http", [Step("far", 30, timeout_s=5)])]
    sound.jobs[4] |= {"status": "completed", "code": None}
    sound.diary += ran("e", 101, 101.2)
    named = {one.what for one in judge(Case(sound, orders)) if one.whom == "e"}
    assert "wrong end" in named
    sound.faults.append({"at": 101, "until": 101, "name": "kill watch1", "part": "watch1", "told": None})
    named = {one.what for one in judge(Case(sound, orders)) if one.whom == "e"}
    assert "wrong end" not in named


def test_an_end_may_be_heard_of_twice_under_one_id_alone(sound: Evidence) -> None:
    sound.heard.append(heard("a", "completed"))
    assert whats(sound) == set()
    sound.heard[-1]["id"] = "msg_another"
    assert whats(sound) == {"I7 heard of under two ids"}


def test_a_secret_in_a_log_is_named(sound: Evidence) -> None:
    sound.leaks.append({"log": "api.log", "secret": "HOOK_SECRET"})
    assert whats(sound) == {"I11 secret"}


def test_passwords_of_the_database_and_of_redis_are_secrets_too(tmp_path: Path) -> None:
    env = {name: f"{name} it is" for name in SECRETS}
    env |= {"DATABASE_URL": "postgresql://packshot:hush-1@here:1/packshot", "REDIS_URL": "redis://:hush-2@here:2/0"}
    known = secrets(env)
    (tmp_path / "api.log").write_text("connecting to redis://:hush-2@here:2/0")
    assert [line["secret"] for line in leaks(tmp_path, known)] == ["the password in REDIS_URL"]
    (tmp_path / "api.log").write_text("hush-1 and HOOK_SECRET it is")
    assert {line["secret"] for line in leaks(tmp_path, known)} == {"the password in DATABASE_URL", "HOOK_SECRET"}


def test_recovery_counts_from_the_last_blow_on_a_jobs_way_and_leaves_its_work_out(sound: Evidence) -> None:
    case = Case(sound, ORDERS)
    assert recoveries(case) == [pytest.approx(0.5)]  # PostgreSQL was back at 106, and c had been at work until then
    assert sorted(waits(case)) == [pytest.approx(1.4), pytest.approx(1.5), pytest.approx(1.5), pytest.approx(2.0)]


def test_a_charge_may_be_the_handlers_own_count_only_where_something_was_hit(sound: Evidence) -> None:
    for charged, named in ((1900, "I3 overbilled"), (900, None)):
        sound.attempts[0]["execution_ms"] = charged
        assert whats(sound) == ({named} if named else set())
    sound.attempts[0]["execution_ms"] = 1900
    sound.faults.append({"at": 101, "until": 101, "name": "kill watch1", "part": "watch1", "told": None})
    assert whats(sound) == set()
    sound.attempts[0]["execution_ms"] = 0
    assert whats(sound) == {"I3 underbilled"}


def test_a_slow_recovery_breaks_the_run(sound: Evidence) -> None:
    sound.jobs[2] |= {"ended": 300.0}
    summary = summarise(Case(sound, ORDERS), [], 1, 10.0)
    assert summary["recovery_p99_s"] == pytest.approx(194)


def test_a_percentile_is_never_beyond_what_was_measured() -> None:
    assert percentile([], 99) == 0
    assert percentile([3.0], 50) == 3
    assert percentile([float(n) for n in range(1, 1001)], 99) == pytest.approx(990.99)
