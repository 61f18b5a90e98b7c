"""What the world reads of jobs."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, literal_column, select, text, tuple_
from sqlalchemy.dialects.postgresql import dialect

from db.base import engine, quick, reachable
from db.jobs import Job
from db.traces import Attempt
from settings import settings
from tools.errors import FileNotFound, InvalidInput, JobNotFound
from tools.following import list_next

#: What a poll shows; a few columns by Core are three times as quick as the mapped object.
COLUMNS = (
    Job.id, Job.tool, Job.status, Job.stage, Job.progress, Job.given, Job.params, Job.result, Job.error,
    Job.outcome, Job.gpu_seconds, Job.queue_seconds, Job.cost_usd, Job.drawn, Job.flow_id, Job.step, Job.retry_of,
    Job.created_at, Job.started_at, Job.ended_at,
)  # fmt: skip

#: A poll is asked for so often that PostgreSQL shall not plan it anew each time: each connection prepares it once.
PREPARE = (
    f"PREPARE read_job (uuid) AS {select(*COLUMNS).where(Job.id == literal_column('$1')).compile(dialect=dialect())}"  # type: ignore[no-untyped-call]  # the dialect is untyped
)
EXECUTE = text("EXECUTE read_job (:wanted)").columns(*COLUMNS)


def read(job_id: UUID, tool: str | None = None) -> dict[str, Any]:
    """Read one job; with `tool`, only if it is a job of that tool. Raises JobNotFound."""
    with reachable(), quick().connect() as connection:
        if "read_job" not in connection.info:
            connection.exec_driver_sql(PREPARE)
            connection.info["read_job"] = True
        row = connection.execute(EXECUTE, {"wanted": str(job_id)}).one_or_none()
    if row is None or (tool and row.tool != tool):
        raise JobNotFound
    return show(row)


def show(row: Row[Any]) -> dict[str, Any]:
    """Show a job: the seed's keys first, the rest beside them."""
    outcome = row.outcome or {}
    return {
        "job_id": str(row.id),
        "status": row.status,
        "result": row.result,
        "tool": row.tool,
        "stage": row.stage,
        "progress": row.progress,
        "error": row.error,
        "warnings": outcome.get("warnings", []),
        "facts": outcome.get("facts", {}),
        "engine": outcome.get("engine"),
        "gpu_seconds": row.gpu_seconds,
        "queue_seconds": row.queue_seconds,
        "cost_usd": row.cost_usd,
        "input": row.given,
        "params": row.params,
        "drawn_from": [str(job_id) for job_id in row.drawn],
        "flow_id": row.flow_id and str(row.flow_id),
        "step": row.step,
        "retry_of": row.retry_of and str(row.retry_of),
        "created_at": row.created_at.isoformat(),
        "started_at": row.started_at.isoformat() if row.started_at else None,
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "next": list_next(row.tool, row.result) if row.status == "completed" and row.result else [],
        "urls": urls_of(f"/api/jobs/{row.id}") | task_of(row.id),
    }


def urls_of(own: str) -> dict[str, str]:
    """Say where a job is asked about, and what can be done with it."""
    return {"self": own, **{name: f"{own}/{name}" for name in ("cancel", "retry", "lineage", "events")}}


def task_of(job_id: UUID) -> dict[str, str]:
    """Say where the job's task is seen in Flower, if people have one."""
    flower = settings().flower_url.rstrip("/")
    return {"task": f"{flower}/task/{job_id}"} if flower else {}


def read_list(
    *, tool: str | None = None, status: str | None = None, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """List jobs, the newest first, a page at a time: `{data, next_cursor, has_more}`."""
    wanted = select(*COLUMNS).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
    if tool:
        wanted = wanted.where(Job.tool == tool)
    if status:
        wanted = wanted.where(Job.status == status)
    if cursor:
        wanted = wanted.where(tuple_(Job.created_at, Job.id) < tuple_(*unpack(cursor)))
    with reachable(), engine().connect() as connection:
        rows = connection.execute(wanted).all()
    page, more = rows[:limit], len(rows) > limit
    return {"data": [show(row) for row in page], "next_cursor": pack(page[-1]) if more else None, "has_more": more}


def pack(row: Any) -> str:
    """Write down after which row the next page begins, by its `created_at` and `id`."""
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def unpack(cursor: str) -> tuple[datetime, UUID]:
    """Read a cursor. Raises InvalidInput if it is none of ours."""
    try:
        moment, job_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return datetime.fromisoformat(moment).astimezone(UTC), UUID(job_id)  # PostgreSQL does not know every zone
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidInput.at("cursor", "this is no cursor of ours: take next_cursor from the page before.") from None


def find_file(attempt_id: UUID, tool: str, extra: str | None = None) -> dict[str, Any]:
    """Find the file that a completed job left, or one beside it: `{r2_path, size, sha256}`. Raises FileNotFound."""
    wanted = (
        select(Job.outcome)
        .join(Attempt, Attempt.job_id == Job.id)
        .where(Attempt.id == attempt_id, Job.tool == tool, Job.status == "completed")
    )
    with reachable(), engine().connect() as connection:
        outcome = connection.scalar(wanted)
    found = outcome or {}
    file: dict[str, Any] | None = found.get("extras", {}).get(extra) if extra else found.get("file")
    if file is None or str(attempt_id) not in file["r2_path"]:
        raise FileNotFound
    return file
