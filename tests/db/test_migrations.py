"""The migrations, on a database of their own."""

import subprocess
import sys
from pathlib import Path
from threading import Timer

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import DefaultClause, inspect, text

from db import api_keys, intake, models, receivers, schema, suspicions, templates, watchers
from db.base import Base, engine
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


def test_a_migration_gives_way_to_the_house_and_is_tried_again(bare: str) -> None:  # noqa: ARG001 - it must run
    schema.upgrade()
    schema.downgrade("-1")
    held = engine().connect()
    held.exec_driver_sql("LOCK TABLE jobs IN ACCESS SHARE MODE")
    release = Timer(2.5, held.rollback)  # longer than the migration waits for a lock
    release.start()
    schema.upgrade()
    release.join()
    held.close()
    assert schema.current()


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
