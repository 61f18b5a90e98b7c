"""Where a job's params come from: the results that it was handed, and those before them."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.jobs import Job
from tools.references import Handed

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
