"""The way to the database: notices, its absence, and who watches."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import ProgrammingError

from db import listen, templates, watchers
from db.base import quick, soon, transaction
from db.watchers import Watcher
from tests.db import rows
from tools.errors import TemplateNotFound, Unavailable

pytestmark = pytest.mark.usefixtures("tables")


@pytest.fixture
def listening(tables: str) -> Iterator[Any]:  # noqa: ARG001 - it must run
    connection = listen.connect(listen.JOBS_CHANNEL)
    yield connection
    connection.close()


def test_whoever_listens_hears_each_event_of_a_job(listening: Any) -> None:
    job_id = rows.accept()
    assert list(listen.wait(listening, 0)) == []  # nobody can wait yet for a job that was just accepted
    rows.start(job_id)
    assert [UUID(heard) for heard in listen.wait(listening, 5)] == [job_id]
    rows.end(job_id)
    assert [UUID(heard) for heard in listen.wait(listening, 5)] == [job_id]
    assert list(listen.wait(listening, 0)) == []


def test_whoever_listens_finds_out_that_the_network_has_forgotten_him_as_all_others_do(listening: Any) -> None:
    with quick().connect() as connection:
        others = connection.connection.dbapi_connection.get_dsn_parameters()  # type: ignore[union-attr]  # it is psycopg2's
    assert others["keepalives_idle"] == "10"
    assert listening.get_dsn_parameters() == others


def test_nothing_is_heard_of_what_was_taken_back(listening: Any) -> None:
    job_id = rows.accept()
    with transaction() as session:
        rows.lock(session, job_id).start({}, {}, rows.SIGNATURE)
        session.flush()
        session.rollback()
    assert list(listen.wait(listening, 0)) == []
    assert rows.job(job_id).status == "pending"


def test_a_database_that_is_down_is_said_to_be_so(tables: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: a connection to it is refused
        url = f"postgresql://nobody@127.0.0.1:{unused.getsockname()[1]}/none"
        code = (
            "from uuid import uuid4\n"
            "from db import pages, templates\n"
            "from tools.errors import Unavailable\n"
            "from tests.db import rows\n"
            "for do in (templates.show_all, rows.accept, lambda: pages.read(uuid4()), pages.read_list):\n"
            "    try: do()\n"
            "    except Unavailable as error: print(error.problem()['code'])\n"
        )
        told = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[2], env={"DATABASE_URL": url, "PATH": ""},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert told.stdout.split() == ["unavailable"] * 4
    (line,) = told.stderr.splitlines()  # one for the outage, however often it is met
    assert line.startswith("The database is away (connection to server")
    assert tables != url


def test_a_connection_that_is_cut_is_said_to_be_so_and_the_next_one_works() -> None:
    with pytest.raises(Unavailable), transaction() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with transaction() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_statement_that_never_ends_is_ended() -> None:
    with pytest.raises(Unavailable), transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 50; SELECT pg_sleep(5)"))


def test_a_bug_in_a_statement_is_not_called_an_absence() -> None:
    with pytest.raises(ProgrammingError), transaction() as session:
        session.execute(text("SELECT nonsense"))


def test_every_connection_has_its_own_ends() -> None:
    with transaction() as session:
        ends = [session.scalar(text(f"SHOW {name}")) for name in ("statement_timeout", "lock_timeout", "jit")]
    assert ends == ["10s", "8s", "off"]


def test_a_watcher_counts_while_it_is_heard_of() -> None:
    assert watchers.count() == 0
    for name in ("a", "b", "a"):
        watchers.beat(name)
    assert watchers.count() == 2
    with transaction() as session:
        session.execute(update(Watcher).where(Watcher.name == "a").values(beat_at=soon(-watchers.STALE_S - 1)))
    assert watchers.count() == 1
    watchers.beat("a")
    assert watchers.count() == 2


def test_templates_come_and_go() -> None:
    one = templates.create("Girl with product", "a trigger_keyword", None)
    two = templates.create("Table", "trigger_keyword on a table", "r2://packshot/uploads/a.png")
    assert templates.show_all() == [two, one]
    assert templates.show_one(one["id"]) == one
    templates.remove(one["id"])
    assert templates.show_all() == [two]
    for unknown in (one["id"], "no id"):
        for do in (templates.show_one, templates.remove):
            with pytest.raises(TemplateNotFound):
                do(unknown)
