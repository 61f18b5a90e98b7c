"""What the world reads of what happened: to a job, and to a flow with all its jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from time import monotonic, sleep
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Select,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    text,
    true,
)

from db.base import quick, reachable, unnest
from db.flows import Flow, Step
from db.jobs import ENDED, Job
from db.traces import Event
from tools.errors import JobNotFound, Unavailable
from tools.flow import FlowNotFound

#: Events of one job or flow that are read at once.
PAGE = 200

#: Seconds between two looks at those who may still write an older event, and for how long they are waited for.
LOOK_S, PATIENCE_S = 0.01, 5.0

#: The largest id that there can be.
LAST = 2**63 - 1

#: What happens to a job that is processing.
PROCESSING = frozenset({"started", "progress", "attempt_lost"})

OVER = Event.name.in_(sorted(ENDED))
COLUMNS = (
    Event.id, Event.name, Event.at, Event.data, Event.job_id, Job.tool, Job.step,
    case((OVER, Job.result)).label("result"), case((OVER, Job.error)).label("error"),
)  # fmt: skip
STEP = (
    Step.flow_id, Step.name, Step.tool, Step.status, func.cardinality(Step.jobs).label("jobs"), Step.remaining,
    Step.missed,
)  # fmt: skip

#: The newest id that was drawn for an event, and the transactions in our database that may have drawn an older one.
NEWEST = text("SELECT last_value FROM events_id_seq")
WRITERS = text(
    "SELECT backend_xid::text FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
)

#: What can be listened to.
About = Literal["job", "flow"]


@dataclass(frozen=True)
class Opening:
    """How a job or a flow is now, for who begins to listen or goes on; `newest` is its last event, 0 without any."""

    shown: dict[str, Any]
    newest: int
    ended: bool
    #: Whether the event after which he goes on is still there, and so all that came after it.
    known: bool


def open_job(job_id: UUID, last: int | None = None) -> Opening:
    """Show a job to who listens from now on, or on from the event `last`. Raises JobNotFound."""
    own = select(func.max(Event.id)).where(Event.job_id == Job.id).scalar_subquery()
    # In one statement: what happens later has a higher id, and what happened before is in the row.
    wanted = select(
        Job.id.label("job_id"), Job.tool, Job.step, Job.status, Job.stage, Job.progress, Job.result, Job.error,
        own.label("newest"), known(Event.job_id == Job.id, last), func.clock_timestamp().label("at"),
    )  # fmt: skip
    with reachable(), quick().connect() as connection:
        row = connection.execute(wanted.where(Job.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFound
    ended = row.status in ENDED
    return opened(row, show_job(row, row.status, row.stage, row.progress), ended=ended)


def open_flow(flow_id: UUID, last: int | None = None, kind: str = "flow") -> Opening:
    """Show a flow to who listens from now on, or on from the event `last`. Raises FlowNotFound, Unavailable."""
    of_flow, over = Event.flow_id == flow_id, Flow.status != "processing"
    # One that is over has its last event, however lately it came; else its end might be told to nobody.
    own = select(func.max(Event.id)).where(of_flow, or_(over, Event.id <= settle())).scalar_subquery()
    wanted = select(
        Flow.id, over.label("over"), own.label("newest"), known(of_flow, last), func.clock_timestamp().label("at")
    )  # fmt: skip
    with reachable(), quick().connect() as connection:
        row = connection.execute(wanted.where(Flow.id == flow_id, Flow.kind == kind)).one_or_none()
        if row is None:
            raise FlowNotFound
        # Read last, so that it shows at least what the newest event tells.
        shown = outline(connection, [flow_id])[flow_id]
    return opened(row, shown | {"job": None}, ended=row.over)


def known(whose: Any, last: int | None) -> Any:
    """Select whether an event is one of these, and still there."""
    return exists().where(whose, Event.id == last).label("known")


def opened(row: Row[Any], shown: dict[str, Any], *, ended: bool) -> Opening:
    """Make what who listens sees first."""
    return Opening(tell(row.newest, "snapshot", row.at, ended=ended) | shown, row.newest or 0, ended, row.known)


def settle() -> int:
    """Wait until no event can come any more that is older than the newest one; give the newest.

    The ids of one job's events are in the order of their commits, as its row is locked for each. Those of a flow's
    jobs are not: who draws an id first may commit last. Each has begun to write when he draws one, so all that are
    older than the newest are there once nobody writes any more who wrote when it was the newest.

    Raises:
        Unavailable: somebody writes for longer than any of us does.
    """
    with reachable(), quick().connect() as connection:
        newest: int = connection.execute(NEWEST).scalar_one()
    writers, until = find_writers(), monotonic() + PATIENCE_S
    while writers:
        if monotonic() > until:
            raise Unavailable("Something writes to the database for long: try again soon.")
        sleep(LOOK_S)
        writers &= find_writers()
    return newest


def find_writers() -> set[str]:
    """Find the transactions that have begun to write."""
    with reachable(), quick().connect() as connection:
        return set(connection.scalars(WRITERS))


def read_jobs(after: Mapping[UUID, int], newest: int = LAST, most: int = PAGE) -> dict[UUID, list[dict[str, Any]]]:
    """Read what happened to each of these jobs after an event, by one statement."""
    with reachable(), quick().connect() as connection:
        rows = read(connection, "job", after, newest, most)
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        how = show_event(row)
        found.setdefault(row.about, []).append(tell(row.id, row.name, row.at, ended=how["status"] in ENDED) | how)
    return found


def read_flows(
    after: Mapping[UUID, int], newest: int | None = None, most: int = PAGE
) -> dict[UUID, list[dict[str, Any]]]:
    """Read what happened in each of these flows after an event; each tells how the flow is now, too.

    Raises Unavailable.
    """
    newest = settle() if newest is None else newest
    with reachable(), quick().connect() as connection:
        rows = read(connection, "flow", after, newest, most)
        flows = outline(connection, {row.about for row in rows})
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        if row.about not in flows:
            continue  # it was forgotten just now
        job = show_event(row) if row.job_id else None
        one = tell(row.id, row.name, row.at, ended=job is None) | flows[row.about] | {"job": job}
        found.setdefault(row.about, []).append(one)
    return found


def read(
    connection: Connection, about: About, after: Mapping[UUID, int], newest: int, most: int
) -> Sequence[Row[Any]]:  # fmt: skip
    """Read events, in their order."""
    told = {"ids": list(after), "lasts": list(after.values()), "newest": newest, "most": most}
    return connection.execute(following(about), told).all()


@cache
def following(about: About) -> Select[Any]:
    """Make the statement that reads what comes after an event of each of many, once."""
    said = unnest(ids=Uuid(), lasts=BigInteger())
    whose = {"job": Event.job_id, "flow": Event.flow_id}[about]
    own = select(*COLUMNS).select_from(Event).outerjoin(Job, Job.id == Event.job_id)
    own = own.where(whose == said.c.ids, Event.id > said.c.lasts, Event.id <= bindparam("newest", type_=BigInteger()))
    first = own.order_by(Event.id).limit(bindparam("most")).lateral()
    wanted = select(said.c.ids.label("about"), *first.c).select_from(said.join(first, true()))
    return wanted.order_by(first.c.id)


def outline(connection: Connection, flow_ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """Show how flows are, and each of their steps."""
    ids = list(flow_ids)
    steps = select(*STEP, Flow.status.label("flow")).join(Flow, Flow.id == Step.flow_id).where(Step.flow_id.in_(ids))
    found: dict[UUID, dict[str, Any]] = {}
    for row in connection.execute(steps.order_by(Step.n)) if ids else ():
        flow = {"flow_id": str(row.flow_id), "status": row.flow, "steps": []}
        found.setdefault(row.flow_id, flow)["steps"].append(show_step(row))
    return found


def show_step(row: Row[Any]) -> dict[str, Any]:
    """Show how a step is, and how many of its jobs are how."""
    counts = {"jobs": row.jobs, "remaining": row.remaining, "missed": row.missed}
    return {"id": row.name, "tool": row.tool, "status": row.status, **counts}


def tell(number: int | None, name: str, at: datetime, *, ended: bool) -> dict[str, Any]:
    """Tell what happened, and when; `ended` marks the last of all."""
    return {"id": number, "event": name, "at": at.isoformat(), "ended": ended}


def show_event(row: Row[Any]) -> dict[str, Any]:
    """Show a job as it was at an event."""
    status = row.name if row.name in ENDED else "processing" if row.name in PROCESSING else "pending"
    return show_job(row, status, row.data.get("stage", row.name), row.data.get("progress", 0.0))


def show_job(row: Row[Any], status: str, stage: str, progress: float) -> dict[str, Any]:
    """Show a job."""
    return {
        "job_id": str(row.job_id),
        "tool": row.tool,
        "step": row.step,
        "status": status,
        "stage": stage,
        "progress": progress,
        "result": row.result,
        "error": row.error,
    }
