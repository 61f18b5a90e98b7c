"""What the jobs of a time took and cost, added up by day, tool, flow, key, or status."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, Text, and_, cast, func, select

from db.api_keys import ApiKey
from db.base import engine, reachable
from db.jobs import Job

#: By what it can be added up, and what a row then tells of it. Days are those of UTC; a key goes by its prefix.
GROUPS: dict[str, dict[str, Any]] = {
    "day": {"day": func.to_char(func.timezone("UTC", Job.ended_at), "YYYY-MM-DD")},
    "tool": {"tool": Job.tool},
    "flow": {"flow": cast(Job.flow_id, Text)},
    "status": {"status": Job.status},
    "key": {"key": ApiKey.prefix, "key_name": ApiKey.name},
}

#: Rows of an answer: whoever has more asks for a shorter time.
MOST_ROWS = 1000


def read(by: Sequence[str], since: datetime, until: datetime, key_id: UUID | None = None) -> dict[str, Any]:
    """Add up what ended from `since` until before `until`, of one key or of all: `{data, total, cut}`.

    The newest or dearest comes first.
    """
    wanted = and_(Job.ended_at >= since, Job.ended_at < until, *([Job.key_id == key_id] if key_id else []))
    told = {name: column for group in by for name, column in GROUPS[group].items()}
    groups = [column.label(f"by_{name}") for name, column in told.items()]
    added = select(*groups, *sums()).outerjoin_from(Job, ApiKey, ApiKey.id == Job.key_id).where(wanted)
    with reachable(), engine().connect() as connection:
        rows = connection.execute(ordered(added.group_by(*groups), told).limit(MOST_ROWS + 1)).all()
        total = connection.execute(select(*sums()).where(wanted)).one()
    data = [{**dict(zip(told, row, strict=False)), **show(row)} for row in rows[:MOST_ROWS]]
    return {"data": data, "total": show(total), "cut": len(rows) > MOST_ROWS}


def ordered(added: Select[Any], told: dict[str, Any]) -> Select[Any]:
    """Put the newest day first, and of one day what took the longest on a GPU."""
    day = [told["day"].desc()] if "day" in told else []
    return added.order_by(*day, func.sum(Job.gpu_seconds).desc(), *told.values())


def sums() -> list[Any]:
    """Say in SQL what is added up."""
    return [
        func.count().label("jobs"),
        func.coalesce(func.sum(Job.gpu_seconds), 0).label("gpu_seconds"),
        func.coalesce(func.sum(Job.queue_seconds), 0).label("queue_seconds"),
        func.coalesce(func.sum(Job.cost_usd), 0).label("cost_usd"),
        func.coalesce(func.sum(Job.gpu_seconds).filter(Job.cost_usd.is_(None)), 0).label("unpriced_gpu_seconds"),
    ]


def show(row: Row[Any]) -> dict[str, Any]:
    """Show sums; the cost is that of the seconds whose price is known."""
    seconds = {name: round(getattr(row, name), 3) for name in ("gpu_seconds", "queue_seconds", "unpriced_gpu_seconds")}
    return {"jobs": row.jobs, **seconds, "cost_usd": round(row.cost_usd, 6)}
