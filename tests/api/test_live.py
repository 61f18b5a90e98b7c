"""Whoever listens to a job or a flow hears all that happens, once and in order, whatever cuts him off."""

import random
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event as Flag
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests
from sqlalchemy import insert, make_url, select

from benchmarks import listeners
from benchmarks.listeners import Size
from db import attempts
from db.base import transaction
from db.jobs import Job
from db.traces import Event
from embedded.ports import any_free
from tests.api.asking import post, serve
from tests.conftest import Processes, wait_until
from tests.db import rows
from tests.ear import Ear, call, hear_out, listen
from tests.gate import Gate, gated
from tests.town import children_of

#: How often a listener is cut off, and for how long he listens between, in seconds at most.
CUTS, LONGEST_S = 50, 0.08


@pytest.fixture(scope="module")
def gate(database: str) -> Iterator[Gate]:
    """Put a gate before PostgreSQL: nobody but the API goes through it."""
    with gated(make_url(database).port or 0) as gate:
        yield gate


@pytest.fixture(scope="module")
def site(database: str, s3: object, gate: Gate, starter: Processes) -> str:  # noqa: ARG001 - they must run
    """Run the app behind the gate; give where it is reached."""
    return serve(
        starter, {"DATABASE_URL": make_url(database).set(port=gate.port).render_as_string(hide_password=False)}
    )


class Work:
    """Jobs that something happens to, each by a thread of its own, until they are told to end."""

    def __init__(self, *job_ids: UUID) -> None:
        self.over, self.steps = Flag(), 0
        self.threads = [Thread(target=self.go_on, args=(job_id, n)) for n, job_id in enumerate(job_ids)]
        for thread in self.threads:
            thread.start()

    def go_on(self, job_id: UUID, n: int) -> None:
        """Be one of them."""
        attempt_id, chance = rows.start(job_id), random.Random(n)
        attempts.claim(attempt_id, "here")
        while not self.over.wait(chance.uniform(0, 0.03)):
            attempts.beat(attempt_id, chance.random(), f"stage {self.steps}")
            self.steps += 1
        rows.end(job_id, "completed", {"success": True})

    def wait_for(self, steps: int) -> None:
        """Wait until so much has happened."""
        wait_until(lambda: self.steps > steps)

    def end(self) -> None:
        """End them all."""
        self.over.set()
        for thread in self.threads:
            thread.join()


@contextmanager
def at_work(*job_ids: UUID) -> Iterator[Work]:
    work = Work(*job_ids)
    try:
        yield work
    finally:
        work.end()


def told(condition: Any, since: int = 0) -> list[int]:
    """List what happened after an event."""
    with transaction() as session:
        return list(session.scalars(select(Event.id).where(condition, Event.id > since).order_by(Event.id)))


def make_flow(site: str, many: int) -> tuple[str, list[UUID]]:
    """Ask for a flow of jobs side by side, and one behind them; give its id and those of the first."""
    steps: list[dict[str, Any]] = [{"id": f"s{n}", "tool": "nap", "with": {}} for n in range(many)]
    flow_id = post(f"{site}/api/flows", {"steps": steps}).json()["flow_id"]
    with transaction() as session:
        return flow_id, list(session.scalars(select(Job.id).where(Job.flow_id == UUID(flow_id))))


def endure(url: str, work: Work) -> tuple[int, list[int], Ear]:
    """Listen, be cut off again and again, and come back after the last event: what was heard since which event."""
    ear = listen(url, enough=lambda ear: ear.frames)
    assert ear.frames[0]["event"] == "snapshot"
    since = last = ear.frames[0]["id"]
    chance, heard = random.Random(8), ear.ids
    for cut in range(CUTS):
        ear = listen(url, last, chance.uniform(0, LONGEST_S), rude=bool(cut % 2))
        heard, last = heard + ear.ids, ear.last or last
        work.wait_for(cut)
    work.end()
    ear = listen(url, last)
    return since, heard + ear.ids, ear


def test_a_listener_who_is_cut_off_fifty_times_misses_nothing_and_hears_nothing_twice(site: str) -> None:
    job_id = rows.accept()
    with at_work(job_id) as work:
        since, heard, ear = endure(f"{site}/api/jobs/{job_id}/events", work)
    assert heard == told(Event.job_id == job_id, since)
    assert len(heard) > CUTS
    assert (ear.ended, ear.whole) == (True, True)


def test_nor_does_one_who_listens_to_many_jobs_that_are_written_to_at_once(site: str) -> None:
    flow_id, job_ids = make_flow(site, 4)
    with at_work(*job_ids) as work:
        since, heard, ear = endure(f"{site}/api/flows/{flow_id}/events", work)
    assert heard == told(Event.flow_id == UUID(flow_id), since)
    assert len(heard) > CUTS
    last = ear.frames[-1]["data"]
    assert (last["event"], last["status"], last["ended"], last["job"]) == ("completed", "completed", True, None)


@contextmanager
def listening(url: str, last: int | None = None, version: str = "1.1") -> Iterator[Future[Ear]]:
    """Let somebody listen to the end, who has begun to."""
    begun = Flag()

    def note(ear: Ear) -> bool:
        if ear.text or ear.frames:
            begun.set()
        return False

    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(listen, url, last, enough=note, version=version)
        assert begun.wait(30)
        yield heard


def test_listeners_outlive_a_database_that_is_away(site: str, gate: Gate) -> None:
    job_id = rows.accept()
    url = f"{site}/api/jobs/{job_id}/events"
    with at_work(job_id) as work, listening(url) as heard:
        for go in (gate.refuse, gate.silence):
            go()
            wait_until(lambda: requests.get(url, timeout=30).status_code == 503)
            since = told(Event.job_id == job_id)[-1]
            wait_until(partial(happens, job_id, since))
            gate.open()
            wait_until(lambda: requests.get(url, timeout=30).status_code == 200)
        work.end()
    ear = heard.result()
    assert ear.ids == told(Event.job_id == job_id, ear.frames[0]["id"])
    assert (ear.ended, ear.whole) == (True, True)


def happens(job_id: UUID, since: int) -> bool:
    """Tell whether something has happened since an event."""
    return len(told(Event.job_id == job_id, since)) > 5


def test_an_api_that_is_killed_or_told_to_end_loses_nothing_for_those_who_come_again(starter: Processes) -> None:
    job_id, port = rows.accept(), any_free(set())
    url = f"{serve(starter, port=port)}/api/jobs/{job_id}/events"
    with at_work(job_id):
        with listening(url) as first:
            starter.started[-1].kill()
        cut = first.result()
        assert not cut.whole
        wait_until(partial(happens, job_id, cut.last or 0))
        serve(starter, port=port)
        with listening(url, cut.last) as second:
            starter.started[-1].popen.send_signal(signal.SIGTERM)
        again = second.result()
        assert (again.whole, again.ended) == (True, False)
    heard = cut.ids + again.ids
    assert heard == told(Event.job_id == job_id, cut.frames[0]["id"])[: len(heard)]
    assert len(again.ids) > 5


def test_who_is_slow_hears_all_and_nobody_waits_for_him(site: str) -> None:
    job_id = rows.accept()
    url = f"{site}/api/jobs/{job_id}/events"
    (first,) = told(Event.job_id == job_id)
    with call(url, first, receive=4096) as slow:
        for _ in range(4):
            write_much(job_id, 250)
        rows.end(job_id)
        quick = listen(url, first)
        ear = Ear()
        hear_out(slow, ear)
    assert quick.ids == ear.ids == told(Event.job_id == job_id, first)
    assert (len(ear.ids), ear.ended, ear.whole) == (1001, True, True)


def write_much(job_id: UUID, many: int) -> None:
    """Write events that are so long that no buffer of the network holds them all."""
    how = {"stage": "x" * 10_000, "progress": 0.5}
    with transaction() as session:
        rows.lock(session, job_id)
        session.execute(insert(Event), [{"job_id": job_id, "name": "progress", "data": how} for _ in range(many)])


def test_who_speaks_http_1_0_is_answered_without_chunks(site: str) -> None:
    job_id = rows.accept()
    with listening(f"{site}/api/jobs/{job_id}/events", version="1.0") as heard:
        rows.end(job_id)
    assert "transfer-encoding" not in heard.result().headers
    assert heard.result().ended


def test_many_listen_while_others_poll(site: str, starter: Processes) -> None:
    (api,) = children_of(starter.started[0].popen.pid)
    size = Size(listeners=30, jobs=10, polls=25, events=20, seconds=2, rounds=1)
    figures = {one.name: one for one in listeners.measure(urlsplit(site).port or 0, api, size)}
    assert [one for one in figures.values() if not one.ok] == []
    assert figures["polls"].value == 2 * 25 * 2
    assert figures["frames heard"].value >= 2 * 30
