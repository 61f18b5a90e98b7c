"""The line to PostgreSQL: silence is noticed, a slow statement is left alone, a full disk leaves no half rows."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic

import psycopg2
import pytest
from sqlalchemy import make_url, select, text

from db import base, lifeline
from db.base import ping, transaction
from db.jobs import Job
from db.traces import Event
from settings import settings
from tests.conftest import wait_until
from tests.db import rows
from tests.gate import Gate, gated
from tools.errors import DiskFull, Unavailable


@pytest.fixture
def gate(tables: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Go to our database by way of a gate."""
    url = make_url(tables)
    with gated(url.port or 0) as gate:
        base.engine().dispose()
        base.quick().dispose()
        caches = (base.engine, base.quick, base.sessions, settings)
        monkeypatch.setenv("DATABASE_URL", url.set(port=gate.port).render_as_string(hide_password=False))
        for cached in caches:
            cached.cache_clear()
        yield gate
        gate.open()
        wait_until(lambda: not lifeline.lifeline.silent)
        base.engine().dispose()
        base.quick().dispose()
        monkeypatch.undo()
        for cached in caches:
            cached.cache_clear()


def test_whoever_begins_to_work_while_all_are_let_go_does_not_end_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = lifeline.Lifeline()

    def close(connection: object) -> None:
        line.hold(id(connection) + 1, object())  # as another thread does

    monkeypatch.setattr(lifeline, "answers", lambda _seconds: False)
    monkeypatch.setattr(lifeline, "cut", close)
    line.called.set()
    line.thread = Thread()  # nobody looks of himself
    line.hold(1, object())
    assert not line.ask()
    monkeypatch.setattr(lifeline, "answers", lambda _seconds: True)
    assert line.ask()


def test_a_connection_that_was_closed_meanwhile_need_not_be_cut(tables: str) -> None:
    connection = psycopg2.connect(make_url(tables).set(drivername="postgresql").render_as_string(hide_password=False))
    connection.close()
    lifeline.cut(connection)


def test_a_statement_that_a_silent_server_has_is_given_up_soon(gate: Gate) -> None:
    ping()
    gate.silence()
    began = monotonic()
    with pytest.raises(Unavailable):
        ping()
    assert monotonic() - began < 2
    began = monotonic()
    with pytest.raises(Unavailable):
        ping()
    assert monotonic() - began < 0.05
    gate.open()
    wait_until(lambda: not lifeline.lifeline.silent, 3)
    ping()


def test_a_slow_statement_of_a_server_that_answers_is_left_alone(gate: Gate) -> None:
    assert gate
    with transaction() as session:
        assert session.scalar(text("SELECT 1 FROM pg_sleep(2.5)")) == 1


def test_nobody_waits_longer_for_a_first_connection(gate: Gate) -> None:
    gate.silence()
    took: list[float] = []

    def try_it() -> None:
        began = monotonic()
        with suppress(Unavailable):
            ping()
        took.append(monotonic() - began)

    callers = [Thread(target=try_it) for _ in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(took) == 12
    assert max(took) < 2


@pytest.fixture
def small_disk(tables: str) -> Iterator[Path]:
    """Keep the tables on a disk of a few MB, which only root can make."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; that an error takes all back, other tests see")
    disk = Path(tempfile.mkdtemp(prefix="packshot-disk-"))
    options = f"size=16m,mode=700,uid={pwd.getpwnam('nobody').pw_uid}"  # as whom root runs PostgreSQL
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False).returncode:
        disk.rmdir()
        pytest.skip("this machine lets nobody mount a disk; that an error takes all back, other tests see")
    try:
        run(f"CREATE TABLESPACE small LOCATION '{disk}'")
        for table in ("jobs", "events", "attempts"):
            run(f"ALTER TABLE {table} SET TABLESPACE small")
        yield disk
        run("DROP TABLE IF EXISTS ballast")
        for table in ("jobs", "events", "attempts"):
            run(f"ALTER TABLE {table} SET TABLESPACE pg_default")
        run("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()
    assert tables


def run(statement: str) -> None:
    """Run what no transaction may hold."""
    with base.reachable(), base.quick().connect() as connection:
        connection.execute(text(statement))


def test_a_full_disk_is_told_and_leaves_no_half_rows(small_disk: Path) -> None:
    kept = rows.accept()
    run("CREATE TABLE ballast (what text) TABLESPACE small")
    run("ALTER TABLE ballast ALTER what SET STORAGE EXTERNAL")
    with pytest.raises(DiskFull, match="full"):
        fill(partial(run, "INSERT INTO ballast SELECT repeat('x', 7000) FROM generate_series(1, 20)"), [])
    taken: list[object] = []
    with pytest.raises(DiskFull):
        fill(rows.accept, taken)
    with transaction() as session:
        jobs, told = session.scalars(select(Job.id)).all(), session.scalars(select(Event.job_id)).all()
    assert set(jobs) == set(told) == {kept, *taken}
    run("DROP TABLE ballast")
    wait_until(rows.accept)
    assert small_disk


def fill(do: Callable[[], object], done: list[object]) -> None:
    """Do it until there is no more room."""
    while True:
        done.append(do())
