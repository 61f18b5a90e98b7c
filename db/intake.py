"""How a job becomes a row: from HTTP with an idempotency key, from Python with its whole canvas."""

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, Connection, Float, ForeignKey, Index, Select, bindparam, case, func, select, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db import api_keys, models
from db.api_keys import Origin
from db.base import Base, Moment, engine, quick, reachable, soon, transaction
from db.jobs import BLOCKED, SEND_AGAIN_S, Job
from db.receivers import Callback, Wish
from db.traces import Event
from tools.contract import Tool
from tools.deadlines import Deadlines
from tools.errors import CanvasReused, IdempotencyInProgress, IdempotencyMismatch

#: Seconds that a job in a canvas may wait for the steps before it.
BLOCKED_S = 7 * 24 * 3600


class IdempotencyKey(Base):
    """A key that a caller sent with a request, and the job or the flow it made."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_created_at", "created_at"),
        Index("ix_idempotency_keys_job_id", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        Index("ix_idempotency_keys_flow_id", "flow_id", postgresql_where=text("flow_id IS NOT NULL")),
    )

    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    #: SHA-256 of the request, so that a key cannot mean two things.
    fingerprint: Mapped[str]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    flow_id: Mapped[UUID | None] = mapped_column(ForeignKey("flows.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))


@dataclass(frozen=True)
class Key:
    """An idempotency key as it came: scope, name, and what it stands for."""

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class Asked:
    """A job as HTTP asks for it: checked, and with its gaps filled."""

    id: UUID
    tool: Tool
    given: dict[str, Any]
    params: dict[str, Any]
    priority: int
    deadlines: Deadlines = field(default_factory=Deadlines)
    #: The job that it does once more.
    retry_of: UUID | None = None
    origin: Origin = field(default_factory=Origin)
    #: Where its caller wants to hear of it.
    wish: Wish | None = None

    @property
    def alone(self) -> bool:
        """One statement takes it in."""
        return not (self.tool.trains or (self.origin.caller and self.origin.caller.limited))


@dataclass
class Planned:
    """A job that a canvas will make: as a row before its message."""

    id: UUID
    tool: Tool
    given: dict[str, Any]
    root_id: UUID
    upstream: list[UUID] = field(default_factory=list)
    members: list[UUID] = field(default_factory=list)
    #: The message of a job that comes first; those after it are brought by the step before.
    signature: dict[str, Any] | None = None
    not_before: datetime | None = None
    start_by: datetime | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    #: A chord's body is named by each of its members, so it may be known already.
    shared: bool = False

    @property
    def first(self) -> bool:
        """Its own message is being sent now."""
        return self.signature is not None


def accept(asked: Asked) -> None:
    """Take in a job from HTTP. No ORM: this is the hot path, and mostly one statement does it all.

    Raises:
        QuotaReached, BudgetSpent: its caller may have no more, and nothing was made.
    """
    with reachable(), quick().connect() if asked.alone else engine().begin() as connection:
        insert_one(connection, asked)


def accept_once(key: Key, asked: Asked) -> tuple[UUID, bool]:
    """Take in a job under a key, or find the job that the key made: (id, whether it is new).

    Raises:
        IdempotencyMismatch: the key was used with another request.
        IdempotencyInProgress: the first request with this key is still being taken in.
    """
    with reachable(), engine().begin() as connection:
        if known := lock_key(connection, key):
            return known, False
        insert_one(connection, asked)
        keep_key(connection, key, job_id=asked.id)
        return asked.id, True


def lock_key(connection: Connection | Session, key: Key) -> UUID | None:
    """Lock a key until the commit; find what it made, if it did. Raises IdempotencyMismatch, IdempotencyInProgress."""
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(f"{key.route}\n{key.key}", 0))
    if not connection.scalar(select(lock)):
        raise IdempotencyInProgress
    return recall(connection, key)


def keep_key(connection: Connection | Session, key: Key, **made: UUID) -> None:
    """Keep what a key made: `job_id` or `flow_id`."""
    row = {"route": key.route, "key": key.key, "fingerprint": key.fingerprint, **made}
    connection.execute(insert(IdempotencyKey).values(row))


def find_key(key: Key) -> UUID | None:
    """Find what a key made, before anything is done for a request that repeats it."""
    with reachable(), engine().connect() as connection:
        return recall(connection, key)


def recall(connection: Connection | Session, key: Key) -> UUID | None:
    """Read what a key made. Raises IdempotencyMismatch."""
    found = connection.execute(
        select(IdempotencyKey.job_id, IdempotencyKey.flow_id, IdempotencyKey.fingerprint).where(
            IdempotencyKey.route == key.route, IdempotencyKey.key == key.key
        )
    ).one_or_none()
    if found and found.fingerprint != key.fingerprint:
        raise IdempotencyMismatch
    return (found.job_id or found.flow_id) if found else None


def insert_one(connection: Connection, asked: Asked) -> None:
    """Insert the job, its event and, if it trains, its model; then see whether its caller may have it."""
    row = {
        "id": asked.id, "root_id": asked.id, "tool": asked.tool.name, "given": asked.given, "params": asked.params,
        "priority": asked.priority, "retry_of": asked.retry_of, **told(asked.deadlines),
        **asked.origin.row,
    }  # fmt: skip
    within = {"within_s": float(asked.deadlines.start_within_seconds or asked.tool.limits.start_within_s)}
    values = {f"new_{name}": value for name, value in row.items()} | within
    if asked.wish:
        values |= {f"wished_{name}": value for name, value in asdict(asked.wish).items()}
    connection.execute(taking_in(wishing=asked.wish is not None), values)
    if asked.tool.trains:
        models.expect(connection, asked.id, asked.params)
    api_keys.count(connection, asked.origin.caller)


def told(deadlines: Deadlines) -> dict[str, int | None]:
    """Write down what the caller said of time; an attempt may not take longer than all may."""
    most = deadlines.max_gpu_seconds
    timeouts = [seconds for seconds in (deadlines.timeout_seconds, most) if seconds is not None]
    return {
        "start_within_s": deadlines.start_within_seconds, "timeout_s": min(timeouts, default=None), "max_gpu_s": most,
    }  # fmt: skip


@cache
def taking_in(*, wishing: bool) -> Select[int]:
    """Make the statement that takes a job in, once: to make it anew costs more than to run it.

    A SELECT around the inserts, since an INSERT would take its parameters for columns.
    """
    columns = Job.__table__.columns
    names = (
        "id", "root_id", "tool", "given", "params", "priority", "retry_of", "start_within_s", "timeout_s", "max_gpu_s",
        "key_id", "request_id",
    )  # fmt: skip
    row: dict[str, Any] = {name: bindparam(f"new_{name}", type_=columns[name].type) for name in names}
    start_by = soon(bindparam("within_s", type_=Float))
    row |= {"due_at": func.least(soon(SEND_AGAIN_S), start_by), "start_by": start_by}
    event = accepted(insert(Job).values(row)).returning(Event.job_id.label("id")).cte("event")
    return select(func.count()).select_from(calling_back(event) if wishing else event)


def calling_back(event: CTE) -> CTE:
    """Keep, in the same statement, where the caller wants to hear of the job.

    One insert in the other, in a row: SQLAlchemy gives the defaults to the innermost alone.
    """
    columns = Callback.__table__.columns
    names = [field.name for field in fields(Wish)]
    wished = [bindparam(f"wished_{name}", type_=columns[name].type) for name in names]
    kept = insert(Callback).from_select(["job_id", *names], select(event.c.id, *wished), include_defaults=False)
    return kept.add_cte(event).returning(Callback.id).cte("kept")


def remember(planned: list[Planned], *, root: bool) -> None:
    """Take in the jobs of a canvas whose first message is about to be sent; what is known already stays.

    Args:
        planned: The jobs in their order; only the first can be one whose message is being sent now.
        root: Whether the message is sent from outside of any task.

    Raises:
        CanvasReused: the last ids of this canvas belong to an earlier sending of it.
    """
    with reachable(), quick().connect() as connection:
        known = set(connection.scalars(select(Job.id).where(Job.id.in_([job.id for job in planned]))))
    own = planned[0]
    starts = own.id not in known if own.first else root
    if starts and any(job.id in known and not (job.first or job.shared) for job in planned):
        raise CanvasReused
    if news := [job for job in planned if job.id not in known or job.shared]:
        with transaction() as session:
            for job in news:
                insert_planned(session, job, known=job.id in known)


def accepted(inserting: Insert) -> Insert:
    """Tell of the rows that an insert makes, in the same statement; one may have failed already."""
    made = inserting.returning(Job.id, Job.flow_id, Job.status, Job.stage).cte("made")
    name = case((made.c.status == "pending", "accepted"), else_=made.c.status)
    data = func.json_build_object("stage", made.c.stage, "progress", 0.0)
    each = select(made.c.id, made.c.flow_id, name, data)
    told = insert(Event).from_select(["job_id", "flow_id", "name", "data"], each, include_defaults=False)
    return told.add_cte(made)


def insert_planned(session: Session, job: Planned, *, known: bool = False) -> None:
    """Insert a job and its event; to a chord's body that is known, add what this member says of it."""
    statement = insert(Job).values(planned_row(job))
    if job.shared:
        merged = {name: text(f"ARRAY(SELECT DISTINCT unnest(jobs.{name} || excluded.{name}))") for name in EDGES}
        statement = statement.on_conflict_do_update(index_elements=["id"], set_=merged)
    else:
        statement = statement.on_conflict_do_nothing()
    session.execute(statement if known else accepted(statement))


#: The columns in which the members of a chord each know their own part.
EDGES = ("upstream", "members")


def planned_row(job: Planned) -> dict[str, Any]:
    """Write the job down: due soon if its message is being sent, else when its time is over."""
    start_by = latest_start(job)
    due_at = (job.not_before or func.least(soon(SEND_AGAIN_S), start_by)) if job.first else start_by
    return {
        "id": job.id, "tool": job.tool.name, "given": job.given, "root_id": job.root_id, "signature": job.signature,
        "stage": "queued" if job.first else BLOCKED, "upstream": job.upstream, "members": job.members,
        "not_before": job.not_before, "start_by": start_by, "due_at": due_at, **told(job.deadlines),
    }  # fmt: skip


def latest_start(job: Planned) -> Any:
    """Say until when it must have started. One that waits for a step before it has its own time once that is over."""
    if not job.first:
        return job.start_by or soon(BLOCKED_S)
    given_s = job.deadlines.start_within_seconds
    if job.start_by and not given_s:
        return job.start_by
    waits_from = func.greatest(soon(0), job.not_before)  # GREATEST and LEAST pass over what is NULL
    within = waits_from + func.make_interval(0, 0, 0, 0, 0, 0, given_s or job.tool.limits.start_within_s)
    return func.least(within, job.start_by)
