"""The migrations, on a database of their own."""

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import DefaultClause, event, inspect, text

from db import api_keys, intake, models, receivers, schema, suspicions, templates, watchers
from db.base import Base, engine, quick
from tests.db import rows

TABLES = {
    intake.IdempotencyKey.__tablename__, models.Model.__tablename__, templates.Template.__tablename__,
    api_keys.ApiKey.__tablename__, api_keys.Charge.__tablename__,
    suspicions.Suspicion.__tablename__, watchers.Watcher.__tablename__, "jobs", "attempts", "events",
    "flows", "steps", "edges", receivers.Receiver.__tablename__, "callbacks", "deliveries",
}  # fmt: skip


def present() -> set[str]:
    return set(inspect(engine()).get_table_names())


def test_two_deployments_at_once_take_turns(bare: str) -> None:
    assert not schema.current()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", "from db import schema; schema.upgrade()"],
            cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, env={"DATABASE_URL": bare, "PATH": ""},
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [(one.communicate(timeout=60)[1], one.returncode) for one in both] == [(b"", 0)] * 2
    assert schema.current()
    assert present() == {*TABLES, "alembic_version"}


def test_up_down_and_up_again(bare: str) -> None:  # noqa: ARG001 - it must run
    schema.upgrade()
    schema.upgrade()
    schema.downgrade()
    assert present() == {"alembic_version"}
    assert inspect(engine()).get_view_names() == []
    with engine().connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_proc WHERE proname LIKE 'tell_%'")) == 0
    assert not schema.current()
    schema.upgrade()
    assert schema.current()
    assert present() == {*TABLES, "alembic_version"}


def test_no_migration_leans_on_code_that_goes_on_changing() -> None:
    imports = {"alembic", "sqlalchemy", *sys.stdlib_module_names}
    for path in (Path(schema.__file__).parent / "migrations/versions").glob("0*.py"):
        found = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert set(found) <= imports, path.name


def test_a_migration_gives_way_to_the_house_and_is_tried_again(
    bare: str,  # noqa: ARG001 - it must run
    caplog: pytest.LogCaptureFixture,
) -> None:
    schema.upgrade()
    schema.downgrade("0008")  # what comes next needs the table for itself
    held = engine().connect()
    held.exec_driver_sql("LOCK TABLE jobs IN ACCESS SHARE MODE")
    release = Timer(2.5, held.rollback)  # longer than the migration waits for a lock
    release.start()
    schema.upgrade()
    release.join()
    held.close()
    assert "stood in the way" in caplog.text
    assert schema.current()


#: That what goes on meanwhile was first kept to; whatever is older, nobody has ever had rows in.
KEPT_SINCE = "0008"


def test_no_table_of_the_house_is_filled_or_indexed_while_it_is_locked(bare: str) -> None:  # noqa: ARG001 - it must run
    schema.upgrade()
    schema.downgrade(KEPT_SINCE)
    work, bad = re.compile(r"\s*(UPDATE (?!alembic)|CREATE (UNIQUE )?INDEX (?P<how>\w+).* ON (?P<table>\w+))"), []
    locked = text("""
        SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
        WHERE pid = :pid AND granted AND mode = 'AccessExclusiveLock' AND relkind = 'r'
    """)  # others see no table that was only just made

    def look(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if (found := work.match(statement)) is None:
            return
        with quick().connect() as other:
            ours = other.scalar(text("SELECT to_regclass(:table)"), {"table": found["table"]})
            if other.scalar(locked, {"pid": connection.connection.dbapi_connection.info.backend_pid}) or (
                ours and found["how"] != "CONCURRENTLY"
            ):
                bad.append(statement)

    event.listen(engine(), "before_cursor_execute", look)
    try:
        schema.upgrade()
    finally:
        event.remove(engine(), "before_cursor_execute", look)
    assert bad == []


def test_what_older_jobs_cost_is_filled_in_batch_after_batch(bare: str) -> None:  # noqa: ARG001 - it must run
    schema.upgrade()
    schema.downgrade("0009")
    with engine().begin() as connection:
        connection.execute(
            text("""
            INSERT INTO jobs (id, tool, root_id, given, gpu_seconds)
            SELECT gen_random_uuid(), 'mask', gen_random_uuid(), '{}', n % 2 FROM generate_series(1, 2500) n
        """)
        )
    schema.upgrade()
    with engine().connect() as connection:
        known = "SELECT gpu_seconds, count(*), count(cost_usd) FROM jobs GROUP BY 1 ORDER BY 1"
        assert connection.execute(text(known)).all() == [(0.0, 1250, 1250), (1.0, 1250, 0)]


def test_who_waits_for_his_turn_holds_up_no_index_of_who_is_at_work(
    bare: str,  # noqa: ARG001 - it must run
    wait_until: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    schema.upgrade()
    asked = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%advisory_lock%' AND pid <> pg_backend_pid()")
    with quick().connect() as first, ThreadPoolExecutor(1) as pool:
        first.exec_driver_sql("SELECT pg_advisory_lock(hashtext('packshot:migrate'))")
        second = pool.submit(schema.upgrade)
        try:
            wait_until(lambda: first.scalar(asked))
            first.exec_driver_sql("SET lock_timeout = '2s'")
            first.exec_driver_sql("CREATE INDEX CONCURRENTLY made_meanwhile ON watchers (beat_at)")
            assert not second.done()
        finally:
            first.exec_driver_sql("DROP INDEX IF EXISTS made_meanwhile")
            first.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            first.exec_driver_sql("RESET lock_timeout")
        second.result(timeout=30)
    assert "stood in the way" not in caplog.text


def test_the_schema_of_a_newer_version_will_do_and_that_of_an_older_one_will_not(tables: str) -> None:  # noqa: ARG001 - it must run
    def applied(revision: str) -> bool:
        with engine().begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        return schema.current()

    with engine().connect() as connection:
        head = connection.scalar(text("SELECT version_num FROM alembic_version"))
    try:
        assert [applied(revision) for revision in ("0001", "9999", str(head))] == [False, True, True]
    finally:
        applied(str(head))


def test_the_models_are_what_the_migrations_made(tables: str) -> None:  # noqa: ARG001 - it must run
    with engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def bare_default(said: object) -> str:
    """Take a default without its type, which PostgreSQL adds by itself."""
    return str(said).split("::")[0].strip("'")


def test_the_defaults_are_those_of_the_models_too(tables: str) -> None:  # noqa: ARG001 - it must run
    there = {
        (table, column["name"]): bare_default(column["default"])
        for table in TABLES
        for column in inspect(engine()).get_columns(table)
        if column["default"]
    }
    wanted = {
        (table.name, column.name): bare_default(getattr(column.server_default.arg, "text", column.server_default.arg))
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.server_default, DefaultClause)
    }
    assert there == wanted


def test_the_jobs_of_generate_are_seen_under_the_seeds_name(tables: str) -> None:  # noqa: ARG001 - it must run
    mine, _ = rows.accept("generate"), rows.accept("mask")
    with engine().connect() as connection:
        assert connection.scalars(text("SELECT id FROM generation_jobs")).all() == [mine]
