"""Where a job's params come from: the results that it was handed, and those before them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from db.base import engine, reachable
from db.jobs import Job
from db.models import Model
from db.traces import Attempt
from tools.contract import Tool
from tools.errors import JobNotFound
from tools.references import Handed

#: Jobs on one level of a lineage that is shown.
MOST = 1000

#: As far back as words and ids are inherited.
FURTHEST = 20


def hand_on(session: Session, values: Sequence[Any]) -> dict[str, Handed]:
    """Name by position what was passed along a canvas; a list counts as its members."""
    flat = [inner for value in values for inner in (value if isinstance(value, list) else [value])]
    tools: dict[str, str] = {}
    if ids := job_ids(flat):
        tools = {str(row.id): row.tool for row in session.execute(select(Job.id, Job.tool).where(Job.id.in_(ids)))}
    results = [value for value in flat if isinstance(value, dict)]
    return {str(n): Handed(tools.get(str(value.get("job_id"))), value) for n, value in enumerate(results)}


def job_ids(values: Iterable[Any]) -> list[UUID]:
    """Read the job ids that results carry; what is none of ours has none."""
    found = []
    for value in values:
        try:
            found.append(UUID(value["job_id"]))
        except (TypeError, KeyError, ValueError, AttributeError):  # a foreign task hands on what it likes
            continue
    return found


def trace(session: Session, ids: Sequence[UUID]) -> list[list[Handed]]:
    """Walk back from jobs along what they drew from: the results of each step before, nearest first."""
    levels: list[list[Handed]] = []
    nearest = session.execute(select(Job.drawn).where(Job.id.in_(ids))).scalars().all() if ids else []
    while (ids := sorted({job_id for drawn in nearest for job_id in drawn})) and len(levels) < FURTHEST:
        rows = session.execute(select(Job.tool, Job.result, Job.drawn).where(Job.id.in_(ids))).all()
        levels.append([Handed(row.tool, row.result) for row in rows if row.result])
        nearest = [row.drawn for row in rows]
    return levels


#: The id of the attempt that made a file is the file's name.
MADE = re.compile(r"^r2://[^/]+/(?:generated|masks)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.")


def find_sources(session: Session, tool: Tool, params: Mapping[str, Any]) -> set[UUID]:
    """Find the jobs that made the files and the models which params name, however these came to be there."""
    named = [params.get(name) for name, kind in tool.takes.items() if kind.door]
    texts = [text for value in named for text in (value if isinstance(value, list) else [value]) if text]
    attempts = [UUID(found[1]) for text in texts if (found := MADE.match(text))]
    models = [params[name] for name, kind in tool.takes.items() if kind.name == "lora" and name in params]
    made = select(Attempt.job_id).where(Attempt.id.in_(attempts))
    trained = select(Model.job_id).where(Model.id.in_(models))
    return set(session.scalars(made.union(trained))) if attempts or models else set()


def read(job_id: UUID) -> dict[str, Any]:
    """Walk from a job back to what it came from, and on to what came of it. Raises JobNotFound.

    Gives `{job_id, backward, forward, edges}`: jobs, the nearest first, and pairs of ids, source first.
    """
    with reachable(), engine().connect() as connection:
        own = connection.execute(select(*SHOWN).where(Job.id == job_id)).all()
        if not own:
            raise JobNotFound
        known = {row.id: row for row in own}
        back = walk(connection, known, own, made_from)
        on = walk(connection, known, own, made_of)
    return {
        "job_id": str(job_id),
        "backward": [show(row) for row in back],
        "forward": [show(row) for row in on],
        "edges": [[str(source), str(row.id)] for row in known.values() for source in row.sources if source in known],
    }


SHOWN = (Job.id, Job.tool, Job.status, Job.result, Job.params, Job.given, Job.sources, Job.flow_id, Job.created_at)


def made_from(rows: Sequence[Any]) -> ColumnElement[bool]:
    """Match what these jobs were made from."""
    return Job.id.in_(sorted({source for row in rows for source in row.sources}))


def made_of(rows: Sequence[Any]) -> ColumnElement[bool]:
    """Match what was made of these jobs."""
    return and_(func.cardinality(Job.sources) > 0, Job.sources.overlap(array([row.id for row in rows])))


def walk(
    connection: Connection, known: dict[UUID, Any], rows: Sequence[Any],
    beside: Callable[[Sequence[Any]], ColumnElement[bool]],
) -> list[Any]:  # fmt: skip
    """Walk from level to level, each job once."""
    found: list[Any] = []
    for _ in range(FURTHEST):
        wanted = select(*SHOWN).where(beside(rows), Job.id.not_in(list(known))).order_by(Job.created_at, Job.id)
        rows = connection.execute(wanted.limit(MOST)).all()
        if not rows:
            break
        known |= {row.id: row for row in rows}
        found += rows
    return found


def show(row: Any) -> dict[str, Any]:
    """Show one job of a lineage."""
    return {
        "job_id": str(row.id),
        "tool": row.tool,
        "status": row.status,
        "params": row.params or row.given,
        "result": row.result,
        "flow_id": row.flow_id and str(row.flow_id),
        "created_at": row.created_at.isoformat(),
    }
