"""What the jobs of a time took and cost, added up by day, tool, flow, kind of GPU, or status."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, Text, and_, cast, func, select

from db.base import engine, reachable
from db.jobs import Job

#: By what it can be added up. Days are those of UTC.
GROUPS: dict[str, Any] = {
    "day": func.to_char(func.timezone("UTC", Job.ended_at), "YYYY-MM-DD"),
    "tool": Job.tool,
    "flow": cast(Job.flow_id, Text),
    "status": Job.status,
    "key": cast(Job.key_id, Text),
}

#: Rows of an answer: whoever has more asks for a shorter time.
MOST_ROWS = 1000


def read(by: Sequence[str], since: datetime, until: datetime) -> dict[str, Any]:
    """Add up what ended from `since` until before `until`: `{data, total, cut}`, the newest or dearest first."""
    wanted = and_(Job.ended_at >= since, Job.ended_at < until)
    groups = [GROUPS[name].label(f"by_{name}") for name in by]
    added = select(*groups, *sums()).where(wanted).group_by(*groups)
    with reachable(), engine().connect() as connection:
        rows = connection.execute(ordered(added, by).limit(MOST_ROWS + 1)).all()
        total = connection.execute(select(*sums()).where(wanted)).one()
    data = [{**dict(zip(by, row, strict=False)), **show(row)} for row in rows[:MOST_ROWS]]
    return {"data": data, "total": show(total), "cut": len(rows) > MOST_ROWS}


def ordered(added: Select[Any], by: Sequence[str]) -> Select[Any]:
    """Put the newest day first, and of one day what took the longest on a GPU."""
    day = [GROUPS["day"].desc()] if "day" in by else []
    return added.order_by(*day, func.sum(Job.gpu_seconds).desc(), *(GROUPS[name] for name in by))


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
