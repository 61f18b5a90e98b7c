"""API keys: kept as hashes, found by a prefix; and what each has used, counted where a job is taken in."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    ForeignKey,
    Identity,
    Index,
    Select,
    Text,
    bindparam,
    column,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.base import Base, Moment, quick, reachable, soon, transaction
from settings import settings
from tools.allowance import Allowance, KeyRefused, Usage, check
from tools.errors import InvalidInput

#: How a key begins, so that whoever finds one knows what it is.
MARK = "packshot"

UNKNOWN = "there is no key with this prefix: packshot keys list shows them all."

#: What stands in for the hash of a key that is not there, so that nobody learns by the clock which prefixes are.
NOBODY = "0" * 64


class ApiKey(Base):
    """A key of somebody who asks over HTTP. It is never deleted, only revoked: jobs name it."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    #: SHA-256 of the whole key, which is random enough for that.
    hash: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    jobs_in_flight: Mapped[int | None]
    gpu_seconds_per_day: Mapped[float | None] = mapped_column(Double)
    money_per_month: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    expires_at: Mapped[datetime | None] = mapped_column(Moment)
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)


class Charge(Base):
    """GPU seconds that a job of a key took. A trigger writes them; they outlive the job."""

    __tablename__ = "charges"
    __table_args__ = (Index("ix_charges_key_id_at", "key_id", "at", postgresql_include=["seconds"]),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    seconds: Mapped[float] = mapped_column(Double)


@dataclass(frozen=True)
class Caller:
    """Who asks, as the key says."""

    id: UUID
    prefix: str
    name: str
    scopes: frozenset[str]
    #: Whether what it uses has to be counted.
    limited: bool

    def may(self, scope: str) -> bool:
        """Tell whether the key is good for that."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True)
class Origin:
    """Where a job comes from: whose key, if one was needed, and the id of the request."""

    caller: Caller | None = None
    request_id: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """Write it down, as the columns of what was asked for."""
        return {"key_id": self.caller.id if self.caller else None, "request_id": self.request_id}


def create(
    name: str, scopes: Sequence[str], *, allowance: Allowance | None = None, days: int | None = None
) -> str:  # fmt: skip
    """Make a key, and give it: nobody can read it again. It ends after so many `days`, or never."""
    with transaction() as session:
        return add(session, name, scopes, allowance or Allowance(), days)


def create_first() -> str | None:
    """Make a key that may do everything, and give it; None if there is a key already, whatever became of it."""
    with transaction() as session:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext("packshot:first key"))))
        known = session.scalar(select(exists().where(ApiKey.id.is_not(None))))
        return None if known else add(session, "first", ["admin"], Allowance(), None)


def add(session: Session, name: str, scopes: Sequence[str], allowance: Allowance, days: int | None) -> str:
    """Insert a key that nobody has had before."""
    prefix = secrets.token_hex(6)
    key = f"{MARK}_{prefix}_{secrets.token_urlsafe(32)}"
    session.add(
        ApiKey(
            id=uuid4(), name=name, prefix=prefix, hash=digest(key), scopes=list(scopes), **vars(allowance),
            expires_at=None if days is None else soon(days * 86400.0),
        )
    )  # fmt: skip
    return key


def find(key: str) -> Caller:
    """Find whose key it is. Raises KeyRefused."""
    with reachable(), quick().connect() as connection:
        row = connection.execute(finding(), {"wanted": read_prefix(key)}).one_or_none()
    right = hmac.compare_digest(digest(key), row.hash if row else NOBODY)
    if not (right and row and row.valid):
        raise KeyRefused
    return Caller(row.id, row.prefix, row.name, frozenset(row.scopes), row.limited)


@cache
def finding() -> Select[UUID, str, str, str, list[str], bool, bool]:
    """Make the statement that finds a key, once."""
    bounds = (ApiKey.jobs_in_flight, ApiKey.gpu_seconds_per_day, ApiKey.money_per_month)
    limited = or_(*(bound.is_not(None) for bound in bounds)).label("limited")
    unended = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > soon(0))
    valid = (ApiKey.revoked_at.is_(None) & unended).label("valid")
    return select(ApiKey.id, ApiKey.prefix, ApiKey.name, ApiKey.hash, ApiKey.scopes, limited, valid).where(
        ApiKey.prefix == bindparam("wanted")
    )


def read_prefix(key: str) -> str:
    """Read the part by which a key is looked up; what is none finds none."""
    parts = key.split("_", 2)
    return parts[1][:64] if len(parts) == 3 and parts[0] == MARK and parts[1].isalnum() else ""


def digest(key: str) -> str:
    """Hash a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def count(connection: Connection | Session, caller: Caller | None) -> None:
    """Count what was just taken in against the key's allowance, and refuse it if that is too much.

    One statement, which locks the key until the commit and counts only then: two who ask at once do not both get the
    last place.

    Raises:
        QuotaReached, BudgetSpent: roll back.
        KeyRefused: the key was revoked a moment ago.
    """
    if caller is None or not caller.limited:
        return
    row = connection.execute(using(), {"wanted": caller.id}).one()
    if not row.valid:
        raise KeyRefused
    check(read_allowance(row), read_usage(row), settings().second_price)


#: What the database's function `use_key` tells, beside whether the key is valid.
ALLOWED = ("jobs_in_flight", "gpu_seconds_per_day", "money_per_month")
USED = ("in_flight", "reserved_s", "day_s", "month_s", "day_left_s", "month_left_s")


@cache
def using() -> Select[Any]:
    """Make the statement that locks a key and counts what it has used, once."""
    told = func.use_key(bindparam("wanted")).table_valued(*map(column, ("valid", *ALLOWED, *USED)))
    return select(told)


def read_allowance(row: Any) -> Allowance:
    """Read what a key may."""
    return Allowance(**{name: getattr(row, name) for name in ALLOWED})


def read_usage(row: Any) -> Usage:
    """Read what a key has used."""
    return Usage(**{name: getattr(row, name) for name in USED})


def find_id(prefix: str) -> UUID:
    """Find out which key has this prefix. Raises InvalidInput if none has."""
    with transaction() as session:
        if found := session.scalar(select(ApiKey.id).where(ApiKey.prefix == prefix)):
            return found
    raise InvalidInput.at("key", UNKNOWN)


def revoke(prefix: str) -> None:
    """Make a key worthless. Raises InvalidInput if there is no such key."""
    wanted = update(ApiKey).where(ApiKey.prefix == prefix)
    gone = wanted.values(revoked_at=func.coalesce(ApiKey.revoked_at, soon(0))).returning(ApiKey.id)
    with transaction() as session:
        if session.scalar(gone) is None:
            raise InvalidInput.at("prefix", UNKNOWN)


def count_valid() -> int:
    """Count the keys that open."""
    unended = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > soon(0))
    with transaction() as session:
        return session.scalar(select(func.count()).where(ApiKey.revoked_at.is_(None), unended)) or 0


def show_all() -> list[tuple[ApiKey, Usage]]:
    """List the keys, the oldest first, with what each has used."""
    with transaction() as session:
        keys = session.scalars(select(ApiKey).order_by(ApiKey.created_at)).all()
        return [(key, read_usage(session.execute(using(), {"wanted": key.id}).one())) for key in keys]
