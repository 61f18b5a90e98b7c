"""Flows: the tables, and the transitions as methods."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, SmallInteger, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Moment, soon

#: What has become of a step: it waits, its jobs are out, or it is over.
StepStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "skipped"]


class Flow(Base):
    """Jobs with references between them, asked for as one."""

    __tablename__ = "flows"
    __table_args__ = (Index("ix_flows_created_at_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    #: flow, or batch: a flow of one step that is spread over what was asked for.
    kind: Mapped[str] = mapped_column(default="flow", server_default="flow")
    name: Mapped[str | None]
    #: What the caller asked for.
    asked: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default="processing", server_default="processing")
    #: Steps that are not over.
    remaining: Mapped[int]
    #: A step has failed; somebody has cancelled it.
    failed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    cancelled: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    #: That of its jobs.
    priority: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")
    #: The flow that it does once more, and what is different.
    retry_of: Mapped[UUID | None]
    changes: Mapped[dict[str, Any] | None]
    #: GPU seconds after which no further step begins; NULL = none.
    max_gpu_s: Mapped[int | None]
    #: Whose key it was asked for with, and by which request: those of its jobs too.
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    ended_at: Mapped[datetime | None] = mapped_column(Moment)

    def end(self) -> None:
        """→ completed, failed or cancelled: all its steps are over."""
        self.status = "cancelled" if self.cancelled else "failed" if self.failed else "completed"
        self.ended_at = soon(0)


class Step(Base):
    """One step of a flow. Its jobs are rows once all that is before it is over."""

    __tablename__ = "steps"

    flow_id: Mapped[UUID] = mapped_column(ForeignKey("flows.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    #: Its place in an order in which the steps can run.
    n: Mapped[int] = mapped_column(SmallInteger)
    tool: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    #: Steps directly before it that are not over.
    blocked_by: Mapped[int]
    #: Jobs of its that have not ended, and those that did not complete.
    remaining: Mapped[int] = mapped_column(default=0, server_default="0")
    missed: Mapped[int] = mapped_column(default=0, server_default="0")
    #: A job that does not complete is left out, and does not fail the flow.
    skips: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    #: Its result is a list.
    many: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    #: What each of its jobs is told; or what all are, and the reference to what it is spread over.
    items: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    spread: Mapped[str | None]
    #: Its jobs in their order; from the start, those whose results are kept from the flow that it does once more.
    jobs: Mapped[list[UUID | None]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    kept: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    #: Why it failed, if none of its jobs says so.
    error: Mapped[dict[str, Any] | None]

    def open(self, jobs: list[UUID | None], remaining: int, missed: int = 0) -> bool:
        """→ processing, with these jobs; False if it is over with that."""
        self.jobs, self.remaining, self.missed, self.status = jobs, remaining, missed, "processing"
        return remaining > 0 or not self.close()

    def note(self, *, completed: bool, cancelled: bool) -> bool:
        """Note that one of its jobs has ended; True if it is over with that."""
        self.remaining -= 1
        self.missed += not completed
        return self.remaining == 0 and self.close(cancelled=cancelled)

    def close(self, *, cancelled: bool = False) -> bool:
        """→ completed, or what it is without the jobs that did not complete."""
        if self.missed == 0 or (self.skips and self.missed < len(self.jobs)):
            self.status = "completed"
        else:
            self.status = "cancelled" if cancelled else "skipped" if self.skips else "failed"
        return True

    def shut(self, status: StepStatus, error: dict[str, Any] | None = None) -> bool:
        """Be over without a job; True, as it is."""
        self.status, self.error = status, error
        return True


class Edge(Base):
    """One step comes after another."""

    __tablename__ = "edges"

    flow_id: Mapped[UUID] = mapped_column(ForeignKey("flows.id", ondelete="CASCADE"), primary_key=True)
    before: Mapped[str] = mapped_column(primary_key=True)
    after: Mapped[str] = mapped_column(primary_key=True)
