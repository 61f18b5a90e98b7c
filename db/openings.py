"""The jobs of a step, made when nothing blocks it any more: bound by what the steps before it gave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import intake, lineage
from db.base import soon
from db.flows import Flow, Step
from db.jobs import SEND_AGAIN_S, Job
from tools import catalog
from tools.allowance import GpuSecondsSpent
from tools.binding import bind, inherits
from tools.contract import Tool
from tools.deadlines import SHORTEST_S, Deadlines
from tools.errors import MissingInput, ToolError
from tools.flow import Share, share
from tools.references import Handed, Upstream


class NothingLeft(Exception):
    """All that the step would have worked on was skipped."""


class NoList(Exception):
    """What the step is spread over is no list that it can be spread over."""

    def __init__(self, problem: dict[str, Any]) -> None:
        self.problem = problem
        super().__init__(problem)


@dataclass
class Opener:
    """Makes the jobs of some steps of one flow, and inserts them all at once."""

    session: Session
    flow: Flow
    results: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    traced: dict[tuple[UUID, ...], list[list[Handed]]] = field(default_factory=dict)

    def learn(self, before: Iterable[Step]) -> None:
        """Read the results of the steps before."""
        if ids := {job_id for step in before for job_id in step.jobs if job_id}:
            wanted = select(Job.id, Job.result).where(Job.id.in_(ids), Job.status == "completed")
            self.results = {row.id: row.result for row in self.session.execute(wanted)}

    def hand(self, step: Step) -> Handed | None:
        """Hand a step's result on, each with its job's id; None if it was skipped, or nothing is left of it."""
        values = [self.tell(job_id) for job_id in step.jobs]
        if step.status == "skipped" or not (step.many or values[0]):
            return None
        return Handed(step.tool, values if step.many else values[0])

    def tell(self, job_id: UUID | None) -> dict[str, Any] | None:
        """Tell a result as canvases do; None if the job did not complete."""
        return {**self.results[job_id], "job_id": str(job_id)} if job_id in self.results else None

    def make(self, step: Step, before: Sequence[Step]) -> tuple[list[UUID | None], int, int]:
        """Make the jobs of a step: their ids, how many are out, and how many have failed at once.

        Raises:
            NothingLeft, NoList: there are none.
        """
        upstream: Upstream = {one.name: self.hand(one) for one in before}
        try:
            shares = [one for one in share(step.items, step.spread, upstream) if not one.left_out]
        except ToolError as error:
            raise NoList(error.problem()) from None
        kept = dict(enumerate(step.jobs))
        rows = [None if kept.get(n) else self.write(step, one) for n, one in enumerate(shares)]
        jobs = [kept.get(n) or (row and row["id"]) for n, row in enumerate(rows)]
        if not any(jobs) and None in upstream.values():
            raise NothingLeft
        made = [row for row in rows if row]
        self.rows += made
        failed = sum(row["status"] == "failed" for row in made)
        return [job_id for job_id in jobs if job_id], len(made) - failed, failed

    def write(self, step: Step, one: Share) -> dict[str, Any] | None:
        """Write one job down: as one that can start, or that has failed; None if it misses what was skipped."""
        tool = catalog.find(step.tool)
        drawn = lineage.job_ids(values for handed in one.upstream.values() if handed for values in handed.members)
        row: dict[str, Any] = {
            "id": uuid4(), "tool": tool.name, "given": one.given, "drawn": drawn, "flow_id": self.flow.id,
            "step": step.name, "priority": self.flow.priority, "key_id": self.flow.key_id,
            "request_id": self.flow.request_id, "params": None, "error": None, "status": "pending",
            "stage": "queued", "start_within_s": None, "timeout_s": None, "max_gpu_s": None, "start_by": None,
            "due_at": None, "ended_at": None, "settled_at": None,
        }  # fmt: skip
        row["root_id"] = row["id"]
        try:
            return row | self.bind(tool, one, drawn)
        except ToolError as error:
            if isinstance(error, MissingInput) and None in one.upstream.values():
                return None
            over = {"status": "failed", "stage": "failed", "ended_at": soon(0), "settled_at": soon(0)}
            return row | over | {"error": error.problem()}

    def bind(self, tool: Tool, one: Share, drawn: list[UUID]) -> dict[str, Any]:
        """Bind the params, and say when the job must have started. Raises InvalidInput."""
        told, deadlines = tool.part(one.given)
        deadlines = self.narrow(deadlines, tool)
        further = self.trace(drawn) if inherits(tool, told) else []
        params = bind(tool, told, one.upstream, further, one.scope).settle().model_dump(mode="json")
        start_by = soon(float(deadlines.start_within_seconds or tool.limits.start_within_s))
        due_at = func.least(soon(SEND_AGAIN_S), start_by)
        return {"params": params, "start_by": start_by, "due_at": due_at, **intake.told(deadlines)}

    def narrow(self, deadlines: Deadlines, tool: Tool) -> Deadlines:
        """Allow a job no more GPU seconds than are left of its flow's. Raises GpuSecondsSpent."""
        if self.left_s is None or tool.local:
            return deadlines
        if self.left_s < SHORTEST_S:
            raise GpuSecondsSpent
        return deadlines.model_copy(
            update={"max_gpu_seconds": min(deadlines.max_gpu_seconds or self.left_s, self.left_s)}
        )

    @cached_property
    def left_s(self) -> int | None:
        """GPU seconds that the flow may still take; None if it has no bound."""
        if self.flow.max_gpu_s is None:
            return None
        taken = self.session.scalar(select(func.sum(Job.gpu_seconds)).where(Job.flow_id == self.flow.id))
        return int(self.flow.max_gpu_s - (taken or 0))

    def trace(self, drawn: list[UUID]) -> list[list[Handed]]:
        """Walk further back, once for each group of jobs."""
        key = tuple(drawn)
        if key not in self.traced:
            self.traced[key] = lineage.trace(self.session, drawn)
        return self.traced[key]

    def insert(self) -> list[tuple[UUID, str]]:
        """Insert the jobs with their events; give those that are to be sent, as (id, tool)."""
        if self.rows:
            self.session.execute(intake.accepted(insert(Job).values(self.rows)))
        return [(row["id"], row["tool"]) for row in self.rows if row["status"] == "pending"]
