"""The course of a flow: taken in, gone on with behind each step that is over, cancelled."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import api_keys, receivers
from db.api_keys import Origin
from db.flows import Edge, Flow, Step, StepStatus
from db.jobs import Job
from db.openings import NoList, NothingLeft, Opener
from db.receivers import Wish
from db.traces import Event
from tools.errors import ToolError
from tools.flow import FlowNotFound
from tools.plan import Ready

logger = logging.getLogger(__name__)

#: Where a session keeps the jobs that it has opened, until somebody sends them.
OPENED = "opened"


@dataclass(frozen=True)
class Kept:
    """What a flow takes over from the one that it does once more: a step that is over, or some jobs of another."""

    jobs: list[UUID | None]
    status: StepStatus = "pending"
    missed: int = 0


@dataclass(frozen=True)
class AskedFlow:
    """A flow as it is asked for: checked, and with its files let in."""

    id: UUID
    steps: list[Ready]
    asked: dict[str, Any]
    name: str | None = None
    kind: str = "flow"
    priority: int = 1
    kept: Mapping[str, Kept] = field(default_factory=dict)
    retry_of: UUID | None = None
    changes: dict[str, Any] | None = None
    origin: Origin = field(default_factory=Origin)
    #: Where its caller wants to hear of it.
    wish: Wish | None = None


def accept(session: Session, asked: AskedFlow) -> None:
    """Take in a flow: its steps, its edges, and the jobs of the steps that wait for nothing."""
    steps = {ready.step.id: plan(asked, n, ready) for n, ready in enumerate(asked.steps)}
    flow = Flow(
        id=asked.id, kind=asked.kind, name=asked.name, asked=asked.asked, priority=asked.priority,
        retry_of=asked.retry_of, changes=asked.changes, failed=False, cancelled=False,
        max_gpu_s=asked.asked.get("max_gpu_seconds"), **asked.origin.row,
        remaining=sum(step.status == "pending" for step in steps.values()),
    )  # fmt: skip
    session.add(flow)
    session.flush()
    if asked.wish:
        receivers.call_back(session, asked.wish, flow.id)
    session.add_all(steps.values())
    free = [step for step in steps.values() if step.status == "pending" and step.blocked_by == 0]
    before = {ready.step.id: [steps[name] for name in ready.before] for ready in asked.steps}
    with session.no_autoflush:  # so that each row is written once, as it is when its jobs are out
        over = open_steps(session, flow, free, before)
    session.flush()
    edges = [{"flow_id": flow.id, "before": name, "after": one.step.id} for one in asked.steps for name in one.before]
    if edges:
        session.execute(insert(Edge), edges)
    conclude(session, flow, over)
    api_keys.count(session, asked.origin.caller)


def plan(asked: AskedFlow, n: int, ready: Ready) -> Step:
    """Write a step down."""
    kept = asked.kept.get(ready.step.id, Kept([]))
    waits = [name for name in ready.before if asked.kept.get(name, Kept([])).status == "pending"]
    return Step(
        flow_id=asked.id, name=ready.step.id, n=n, tool=ready.tool.name, status=kept.status, blocked_by=len(waits),
        remaining=0, missed=kept.missed, skips=ready.step.on_error == "skip", many=ready.many, items=ready.items,
        spread=ready.spread, jobs=kept.jobs, kept=kept.status != "pending",
    )  # fmt: skip


def advance(session: Session, job: Job) -> None:
    """Note in its flow that a job has ended; send on what waited for it alone."""
    flow = lock(session, job.flow_id)
    # Not joined to the lock above: that would show the step as it was before the wait for the lock.
    step = session.get_one(Step, (flow.id, job.step), populate_existing=True)
    if step.note(completed=job.status == "completed", cancelled=flow.cancelled):
        conclude(session, flow, [step])


def conclude(session: Session, flow: Flow, over: list[Step]) -> None:
    """Go on behind steps of a locked flow that are over, and end the flow behind the last."""
    while over:
        flow.remaining -= len(over)
        flow.failed = flow.failed or any(step.status in {"failed", "cancelled"} for step in over)
        freed = lower(session, flow, [step.name for step in over])
        over = open_steps(session, flow, freed, find_before(session, flow, freed)) if freed else []
    if flow.remaining == 0 and flow.ended_at is None:
        flow.end()
        session.add(Event(flow_id=flow.id, name=flow.status))


def lower(session: Session, flow: Flow, over: Sequence[str]) -> list[Step]:
    """Lower what blocks the steps behind those that are over; give the steps that nothing blocks any more."""
    behind = select(Edge.after, func.count().label("times")).where(Edge.flow_id == flow.id, Edge.before.in_(over))
    each = behind.group_by(Edge.after).subquery()
    waiting = update(Step).where(Step.flow_id == flow.id, Step.name == each.c.after, Step.status == "pending")
    lowered = waiting.values(blocked_by=Step.blocked_by - each.c.times).returning(Step)
    found = session.scalars(lowered, execution_options={"populate_existing": True, "synchronize_session": False})
    return sorted((step for step in found if step.blocked_by == 0), key=lambda step: step.n)


def find_before(session: Session, flow: Flow, steps: Sequence[Step]) -> dict[str, list[Step]]:
    """Find the steps directly before each of these."""
    names = [step.name for step in steps]
    wanted = select(Edge.after, Step).join(Step, (Step.flow_id == Edge.flow_id) & (Step.name == Edge.before))
    found: dict[str, list[Step]] = {name: [] for name in names}
    for after, step in session.execute(wanted.where(Edge.flow_id == flow.id, Edge.after.in_(names)).order_by(Step.n)):
        found[after].append(step)
    return found


def open_steps(
    session: Session, flow: Flow, steps: Sequence[Step], before: Mapping[str, Sequence[Step]]
) -> list[Step]:  # fmt: skip
    """Make the jobs of steps that nothing blocks any more; give those steps that are over at once."""
    opener = Opener(session, flow)
    opener.learn(one for step in steps for one in before[step.name])
    over = [step for step in steps if decide(opener, step, before[step.name])]
    session.info.setdefault(OPENED, []).extend(opener.insert())
    return over


def decide(opener: Opener, step: Step, before: Sequence[Step]) -> bool:
    """Open one step, or shut it if what is before it did not complete; True if it is over."""
    if any(one.status in {"failed", "cancelled"} for one in before):
        return step.shut("cancelled")
    try:
        jobs, remaining, missed = opener.make(step, before)
    except NothingLeft:
        return step.shut("skipped")
    except NoList as error:
        return step.shut("skipped" if step.skips else "failed", error.problem)
    except SQLAlchemyError:
        raise  # the transaction is lost, so the end before it is written once more
    except Exception:
        # Raised further, it would take back the end of a job that is done and paid for, at each look, for ever.
        logger.exception("step %s of flow %s could not be opened", step.name, step.flow_id)
        return step.shut("failed", ToolError("Something went wrong on our side; it is in the log.").problem())
    return not step.open(jobs, remaining, missed)


def take_opened(session: Session) -> Iterator[tuple[UUID, str]]:
    """Take the jobs that a session has opened, as (id, tool): they are to be sent after its commit."""
    yield from session.info.pop(OPENED, ())


def lock(session: Session, flow_id: UUID | None) -> Flow:
    """Lock a flow. Raises FlowNotFound."""
    flow = session.get(Flow, flow_id, with_for_update={"key_share": True}, populate_existing=True)
    if flow is None:
        raise FlowNotFound
    return flow


def lock_all(session: Session, flow_ids: Sequence[UUID]) -> None:
    """Lock the flows of jobs that end together, in one order, so that no two who do this wait for each other."""
    if flow_ids:
        wanted = select(Flow.id).where(Flow.id.in_(set(flow_ids))).order_by(Flow.id)
        session.execute(wanted.with_for_update(key_share=True)).all()


def cancel(session: Session, flow_id: UUID) -> list[UUID]:
    """Cancel what waits in a flow; give the jobs that are out, which somebody must cancel one by one."""
    flow = lock(session, flow_id)
    if flow.ended_at is not None:
        return []
    waiting = update(Step).where(Step.flow_id == flow_id, Step.status == "pending").values(status="cancelled")
    shut = session.execute(waiting.returning(Step.name).execution_options(synchronize_session=False)).all()
    flow.cancelled, flow.remaining = True, flow.remaining - len(shut)
    out = select(Job.id).where(Job.flow_id == flow_id, Job.status.in_(("pending", "processing")))
    return list(session.scalars(out.order_by(Job.created_at)))
