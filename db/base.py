"""The engine, the session, and the database's clock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from select import POLLIN, poll
from typing import Any

from sqlalchemy import JSON, ColumnElement, Engine, MetaData, bindparam, column, create_engine, event, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, InvalidRequestError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import DateTime, Text, Uuid

from db.lifeline import LOOK_UP_S, SILENT, Places, lifeline, must_be_there
from settings import settings
from tools.errors import DiskFull, Unavailable

#: Threads wait in Python, never with a connection, so a few are enough for hundreds of callers.
POOL_SIZE = 6

#: Connections for single statements; together with the others they stay within ten.
QUICK_POOL_SIZE = 4

#: Every statement has its own end: a hung server must not hang a worker thread.
OPTIONS = "-c statement_timeout=10000 -c lock_timeout=8000 -c idle_in_transaction_session_timeout=30000 -c jit=off"

#: A connection that the network has forgotten is given up after this, in seconds or, the last, milliseconds.
KEPT_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 15000}


#: How each connection of ours is opened, in a pool or not.
ARGUMENTS: dict[str, Any] = {"connect_timeout": 2, "options": OPTIONS, "application_name": "packshot", **KEPT_ALIVE}


class Base(DeclarativeBase):
    """The mother of the tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    #: JSON, not JSONB: JSONB reorders keys, and an answer keeps the seed's order.
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        dict[str, Any]: JSON(none_as_null=True),
        str: Text,
        Uuid: Uuid,
    }


#: A point in the database's time.
Moment = DateTime(timezone=True)


@cache
def engine() -> Engine:
    """Open the pool of this process."""
    return open_engine(POOL_SIZE)


@cache
def quick() -> Engine:
    """Open the pool for single statements, each a transaction of its own.

    A pool of its own, as switching a connection there and back costs more than the statement of a poll.
    """
    # Nothing is ever left open here, so nothing has to be rolled back when a connection is given back.
    return open_engine(QUICK_POOL_SIZE, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)


def open_engine(pool_size: int, **options: Any) -> Engine:
    """Open a pool."""
    opened = create_engine(
        settings().database_url.get_secret_value(),
        pool_size=pool_size,
        max_overflow=0,  # one beyond the pool would be opened, with its password checked, for a single use
        poolclass=Places,
        pool_timeout=LOOK_UP_S,
        connect_args=ARGUMENTS,
        **options,
    )
    event.listen(opened, "checkout", check)
    lifeline.watch(opened)
    # A child that shared its parent's sockets would read the parent's answers.
    os.register_at_fork(after_in_child=lambda: opened.dispose(close=False))
    return opened


def check(connection: Any, _record: Any, _proxy: Any) -> None:
    """Take no connection whose other end has gone, so that a restart of PostgreSQL costs no request.

    A server that ends closes the socket, which then has something to read. SQLAlchemy's own check asks the server
    instead, and so would add a round trip to every transaction.
    """
    quiet = poll()
    quiet.register(connection, POLLIN)
    if quiet.poll(0):
        raise DisconnectionError


@cache
def sessions() -> sessionmaker[Session]:
    """Make the session factory of this process."""
    return sessionmaker(engine(), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """Run one transaction: commit at the end, roll back on any error. Raises Unavailable while the database is down."""
    with reachable(), sessions().begin() as session:
        yield session


#: What PostgreSQL says when it has no room for a row: a full disk, or the end of what its user may write.
FULL = {"53100"}

#: And when it goes, or has not come yet.
GONE = "57P"

#: What the pool says of a connection that was fresh and closed at once: the server is about to go.
CLOSED = "This connection is closed"


@contextmanager
def reachable() -> Iterator[None]:
    """Turn "the database is down" into an error of ours; other errors of the database are bugs and stay."""
    must_be_there()
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(SILENT) from error
    except InvalidRequestError as error:
        if str(error) != CLOSED:
            raise
        raise Unavailable(SILENT) from error
    except DBAPIError as error:
        means = told(error)
        if means is error:
            raise  # never from itself: whoever walks along the causes would not come to an end
        raise means from error
    lifeline.outage.end()


def told(error: DBAPIError) -> Exception:
    """Tell what it means for the caller that the database failed; itself, if that is a bug."""
    code = getattr(error.orig, "pgcode", None)
    if code in FULL:
        return DiskFull("The database's disk is full: make room, then try again.")
    if not (error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)):
        return error
    if code is None or code.startswith(GONE):
        lifeline.outage.begin(error.orig)
    return Unavailable(SILENT)


def ping() -> None:
    """Ask for a sign of life. Raises Unavailable."""
    with reachable(), quick().connect() as connection:
        connection.execute(select(1))


@lru_cache
def soon(seconds: float | ColumnElement[float]) -> ColumnElement[Any]:
    """Say when, in the database's time: a worker whose clock is wrong must not matter."""
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def unnest(**columns: Any) -> TableValuedAlias:
    """Make a table of lists that are given when it is asked: its text is the same however many rows it has."""
    lists = [bindparam(name, type_=ARRAY(kind)) for name, kind in columns.items()]
    shape = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*lists).table_valued(*shape, name="said").render_derived()
