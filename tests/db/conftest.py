"""A database of its own for each module here: claims and counts see all rows, also those of other tests."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import make_url

from db import base, schema
from settings import settings
from tests.db import hearing


def forget() -> None:
    """Let the process read anew which database it works on."""
    for opened in (base.engine, base.quick):
        opened().dispose()
    for cached in (base.engine, base.quick, base.sessions, settings):
        cached.cache_clear()


@pytest.fixture(scope="module")
def bare(postgres_url: str) -> Iterator[str]:
    """Work on a new database without tables; give its URL."""
    name = f"packshot_{uuid4().hex}"
    run(postgres_url, f'CREATE DATABASE "{name}"')
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with pytest.MonkeyPatch.context() as patch:
        forget()
        patch.setenv("DATABASE_URL", url)
        settings.cache_clear()
        yield url
        forget()
    settings.cache_clear()
    run(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def tables(bare: str) -> str:
    """Work on a new database with our tables; give its URL."""
    schema.upgrade()
    return bare


@pytest.fixture
def start_anew(tables: str) -> Iterator[None]:  # noqa: ARG001 - they must be there
    """Let receivers of one test hear of no other."""
    yield
    hearing.forget()


def run(url: str, statement: str) -> None:
    """Run what cannot be run in a transaction."""
    connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
