"""Callers may wait for a job, as long as they like and as many as there are places; its end wakes them at once."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.waiting import MOST_WAITERS, Waiting
from db.base import transaction
from tasks import ending
from tests.api.asking import assert_problem, get, post
from tests.conftest import wait_until


@dataclass
class Room:
    """A waiting room: callers who wait, each in a thread."""

    app: Flask
    pool: ThreadPoolExecutor

    @property
    def waiting(self) -> Waiting:
        found: Waiting = self.app.extensions["waiting"]
        return found

    def make_job(self) -> str:
        return str(self.app.test_client().post("/api/nap/async", json={}).get_json()["job_id"])

    def wait(self, job_id: str, seconds: int = 30) -> Future[Any]:
        """Let a caller wait; return once he really does."""
        waiter = self.pool.submit(lambda: self.app.test_client().get(f"/api/jobs/{job_id}?wait={seconds}").get_json())
        wait_until(lambda: waiter.done() or job_id in self.waiting.listening.bells)
        return waiter

    def time_wake(self) -> float:
        """Give the seconds from the end of a job to the answer of who waited for it."""
        job_id = self.make_job()
        waiter = self.wait(job_id)
        assert not waiter.done()
        ending.cancel(UUID(job_id))
        ended = monotonic()
        assert waiter.result(10)["status"] == "cancelled"
        return monotonic() - ended


@pytest.fixture
def room(app: Flask) -> Iterator[Room]:
    with ThreadPoolExecutor(8) as pool:
        yield Room(app, pool)


def listeners() -> list[int]:
    """Find the connections that listen for the ends of jobs."""
    wanted = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%packshot_jobs%'"
    with transaction() as session:
        return list(session.scalars(text(wanted)))


def test_the_end_of_a_job_wakes_who_waits_for_it(room: Room) -> None:
    room.time_wake()  # the first one starts the listener
    wait_until(listeners)
    assert median(room.time_wake() for _ in range(7)) < 0.5


def test_waiting_outlives_the_connection_that_listens(room: Room) -> None:
    room.time_wake()
    wait_until(listeners)
    for pid in (cut := listeners()):
        with transaction() as session:
            session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    assert room.time_wake() < 4  # deaf, it looks every two seconds
    wait_until(lambda: set(listeners()) - set(cut))
    assert median(room.time_wake() for _ in range(5)) < 0.5


def test_a_wait_ends_when_its_time_is_over(room: Room) -> None:
    job_id, begun = room.make_job(), monotonic()
    assert room.wait(job_id, seconds=1).result(10)["status"] == "pending"
    assert 0.9 < monotonic() - begun < 5
    assert not room.waiting.listening.bells


def test_nobody_waits_for_a_job_that_has_ended(room: Room) -> None:
    job_id = room.make_job()
    ending.cancel(UUID(job_id))
    begun = monotonic()
    assert room.wait(job_id).result(10)["status"] == "cancelled"
    assert monotonic() - begun < 1


def test_when_all_places_are_taken_the_next_ones_are_answered_at_once(site: str) -> None:
    job_id = post(f"{site}/api/nap/async", {}).json()["job_id"]
    with ThreadPoolExecutor(MOST_WAITERS + 16) as pool:
        polls = [pool.submit(get, f"{site}/api/jobs/{job_id}?wait=30") for _ in range(MOST_WAITERS + 16)]
        wait_until(lambda: sum(poll.done() for poll in polls) == 16)
        begun = monotonic()
        late = post(f"{site}/api/nap", {})
        assert (late.status_code, list(late.json())) == (202, ["job_id", "status"])
        assert "Preference-Applied" not in post(f"{site}/api/nap", {}, Prefer="wait=20").headers
        assert monotonic() - begun < 5
        ending.cancel(UUID(job_id))
        seen = [poll.result().json()["status"] for poll in polls]
    assert (seen.count("pending"), seen.count("cancelled")) == (16, MOST_WAITERS)


@pytest.mark.parametrize("path", ["/api/nap", "/api/nap/async"])
def test_a_caller_says_how_long_it_waits(client: FlaskClient, path: str) -> None:
    begun = monotonic()
    answer = client.post(path, json={}, headers={"Prefer": "wait=1"})
    assert 0.9 < monotonic() - begun < 5
    assert (answer.status_code, list(answer.get_json())) == (202, ["job_id", "status"])
    assert answer.headers["Preference-Applied"] == "wait=1"
    begun = monotonic()
    answer = client.post(path, json={}, headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "respond-async")
    assert monotonic() - begun < 1


@pytest.mark.parametrize(("prefer", "applied"), [
    ("respond-async, wait=0", "wait=0"), ('wait="0"', "wait=0"), ("WAIT=0;x=1", "wait=0"),
    ("return=minimal, respond-async", "respond-async"), ("wait=-1", None), ("awaits=9", None), ("nonsense", None),
])  # fmt: skip
def test_preferences_are_read_as_they_are_written(client: FlaskClient, prefer: str, applied: str | None) -> None:
    answer = client.post("/api/nap/async", json={}, headers={"Prefer": prefer})
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (202, applied)


def test_a_sync_call_whose_job_is_cancelled_is_told_so(site: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(post, f"{site}/api/nap", {"seconds": 77.0})
        wait_until(lambda: newest(site)["input"] == {"seconds": 77.0})
        job_id = newest(site)["job_id"]
        assert requests.post(f"{site}/api/jobs/{job_id}/cancel", timeout=10).json()["status"] == "cancelled"
        assert assert_problem(call.result(), 409, "cancelled")["job_id"] == job_id


def newest(site: str) -> dict[str, Any]:
    """Give the newest job."""
    return dict(get(f"{site}/api/jobs?limit=1").json()["data"][0])
