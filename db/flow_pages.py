"""What the world reads of flows and batches."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by

from db import pages, prices
from db.base import engine, quick, reachable
from db.flows import Edge, Flow, Step
from db.jobs import Job
from tools.flow import FlowNotFound

#: Runs that it takes to say how long a tool takes, and as many as are looked at.
LEAST_RUNS, MOST_RUNS = 10, 200

#: Where flows of each kind are asked for.
PATHS = {"flow": "/api/flows", "batch": "/api/batches"}

FLOW = (
    Flow.id, Flow.kind, Flow.name, Flow.asked, Flow.status, Flow.retry_of, Flow.changes, Flow.created_at, Flow.ended_at,
)  # fmt: skip
STEP = (
    Step.name,
    Step.tool,
    Step.status,
    Step.many,
    Step.items,
    Step.spread,
    Step.jobs,
    Step.kept,
    Step.missed,
    Step.error,
)
JOB = (
    Job.id, Job.status, Job.stage, Job.progress, Job.given, Job.params, Job.result, Job.error, Job.outcome,
    Job.gpu_seconds, Job.queue_seconds, Job.cost_usd, Job.flow_id, Job.started_at, Job.ended_at,
)  # fmt: skip


def read(flow_id: UUID, kind: str = "flow") -> dict[str, Any]:
    """Read a flow with its steps and their jobs, by three statements. Raises FlowNotFound."""
    with reachable(), quick().connect() as connection:
        flow = connection.execute(select(*FLOW).where(Flow.id == flow_id, Flow.kind == kind)).one_or_none()
        if flow is None:
            raise FlowNotFound
        steps = connection.execute(with_edges(flow_id)).all()
        ids = {job_id for step in steps for job_id in step.jobs}
        jobs = {job.id: job for job in connection.execute(select(*JOB).where(Job.id.in_(ids)))} if ids else {}
    return show_batch(flow, steps[0], jobs) if kind == "batch" else show(flow, steps, jobs)


def with_edges(flow_id: UUID) -> Any:
    """Select the steps of a flow, each with the names of those directly before it."""
    before = select(func.array_agg(aggregate_order_by(Edge.before, Edge.before)))
    named = before.where(Edge.flow_id == Step.flow_id, Edge.after == Step.name).scalar_subquery()
    return select(*STEP, named.label("after")).where(Step.flow_id == flow_id).order_by(Step.n)


def show(flow: Row[Any], steps: Sequence[Row[Any]], jobs: dict[UUID, Row[Any]]) -> dict[str, Any]:
    """Show a flow."""
    return {
        **outline(flow),
        "inputs": flow.asked.get("inputs", {}),
        "steps": [show_step(step, [jobs[job_id] for job_id in step.jobs if job_id in jobs]) for step in steps],
        "edges": [[before, step.name] for step in steps for before in step.after or ()],
        **add_up([jobs[one] for step in steps if not step.kept for one in step.jobs if one in jobs]),
        "retry_of": str(flow.retry_of) if flow.retry_of else None,
        "changes": flow.changes,
    }


def outline(flow: Row[Any]) -> dict[str, Any]:
    """Show what a list shows of a flow or a batch."""
    path = PATHS[flow.kind]
    more = ("cancel", "retry", "events") if flow.kind == "flow" else ("cancel",)
    return {
        f"{flow.kind}_id": str(flow.id),
        "status": flow.status,
        "name": flow.name,
        "created_at": flow.created_at.isoformat(),
        "ended_at": flow.ended_at.isoformat() if flow.ended_at else None,
        "urls": {"self": f"{path}/{flow.id}", **{name: f"{path}/{flow.id}/{name}" for name in more}},
    }


def show_step(step: Row[Any], jobs: Sequence[Row[Any]]) -> dict[str, Any]:
    """Show a step; one that is spread has a list of results, with null for each job that gave none."""
    results = [job.result for job in jobs]
    return {
        "id": step.name,
        "tool": step.tool,
        "status": step.status,
        "after": step.after or [],
        "kept": step.kept,
        "result": results if step.many else next(iter(results), None),
        "error": step.error or next((job.error for job in jobs if job.error), None),
        "jobs": [show_job(job) for job in jobs],
    }


def show_job(job: Row[Any]) -> dict[str, Any]:
    """Show a job of a step; GET /api/jobs/<id> shows more."""
    seconds = (job.ended_at - job.started_at).total_seconds() if job.ended_at and job.started_at else None
    return {
        "job_id": str(job.id),
        "status": job.status,
        "stage": job.stage,
        "progress": job.progress,
        "params": job.params or job.given,
        "error": job.error,
        "warnings": (job.outcome or {}).get("warnings", []),
        "seconds": seconds,
        **add_up([job]),
    }


def show_batch(flow: Row[Any], step: Row[Any], jobs: dict[UUID, Row[Any]]) -> dict[str, Any]:
    """Show a batch: how many are how, and each item."""
    listed = [jobs[job_id] for job_id in step.jobs if job_id in jobs]
    counts = Counter(job.status for job in listed)
    return {
        **outline(flow),
        "tool": step.tool,
        "counts": {"total": len(step.jobs), **counts},
        "items": [{**show_job(job), "result": job.result} for job in listed],
        **add_up(listed),
    }


def add_up(jobs: Sequence[Row[Any]]) -> dict[str, float | None]:
    """Say what jobs took and cost together; where one's cost is not known, nor is that of all."""
    costs = [job.cost_usd for job in jobs]
    return {
        "gpu_seconds": sum(job.gpu_seconds for job in jobs),
        "queue_seconds": sum(job.queue_seconds for job in jobs),
        "cost_usd": None if None in costs else sum(costs),
    }


def read_list(
    kind: str = "flow", *, status: str | None = None, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """List flows or batches, the newest first, a page at a time: `{data, next_cursor, has_more}`."""
    wanted = select(*FLOW).where(Flow.kind == kind).order_by(Flow.created_at.desc(), Flow.id.desc()).limit(limit + 1)
    if status:
        wanted = wanted.where(Flow.status == status)
    if cursor:
        wanted = wanted.where(tuple_(Flow.created_at, Flow.id) < tuple_(*pages.unpack(cursor)))
    with reachable(), engine().connect() as connection:
        rows = connection.execute(wanted).all()
    page, more = rows[:limit], len(rows) > limit
    listed = [outline(row) for row in page]
    return {"data": listed, "next_cursor": pages.pack(page[-1]) if more else None, "has_more": more}


def read_asked(flow_id: UUID) -> tuple[Row[Any], list[Row[Any]], dict[UUID, str]]:
    """Read what a flow was asked for, its steps, and the status of each of their jobs. Raises FlowNotFound."""
    with reachable(), engine().connect() as connection:
        flow = connection.execute(select(*FLOW).where(Flow.id == flow_id, Flow.kind == "flow")).one_or_none()
        if flow is None:
            raise FlowNotFound
        steps = list(connection.execute(with_edges(flow_id)))
        ids = {job_id for step in steps for job_id in step.jobs}
        known = connection.execute(select(Job.id, Job.status).where(Job.id.in_(ids)))
        return flow, steps, {row.id: row.status for row in known}


def read_usual(tool: str) -> dict[str, Any]:
    """Say what a tool takes, by its last runs here: `{seconds, gpu_seconds, cost_usd}`, each null if nobody can say.

    Money is that of today's price, whatever these runs cost at theirs.
    """
    took = func.extract("epoch", Job.ended_at - Job.started_at).label("took")
    wanted = (Job.tool == tool, Job.status == "completed", Job.started_at.is_not(None))
    last = select(took, Job.gpu_seconds).where(*wanted).order_by(Job.created_at.desc()).limit(MOST_RUNS).subquery()
    cuts = [func.percentile_cont(part).within_group(each) for each in last.c for part in (0.5, 0.9)]
    with reachable(), quick().connect() as connection:
        runs, *found = connection.execute(select(func.count(), *cuts).select_from(last)).one()
    if runs < LEAST_RUNS:
        return dict.fromkeys(("seconds", "gpu_seconds", "cost_usd"))
    took_s, gpu_s = ([float(value) for value in pair] for pair in (found[:2], found[2:]))
    costs = [prices.tell(tool, round(seconds * 1000))[1] for seconds in gpu_s]
    return {
        "seconds": tell_usual(took_s, runs, 3),
        "gpu_seconds": tell_usual(gpu_s, runs, 3),
        "cost_usd": None if None in costs else tell_usual([cost or 0.0 for cost in costs], runs, 6),
    }


def tell_usual(found: Sequence[float], runs: int, digits: int) -> dict[str, Any]:
    """Write down two percentiles, and of how many runs."""
    return {"p50": round(found[0], digits), "p90": round(found[1], digits), "runs": runs}
