"""What a job leaves: its events, and the attempts at it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from db import prices
from db.base import Base, Moment, soon
from tools.contract import Limits

#: Seconds for which what an attempt left in the bucket stays at least.
DAY_S = 24 * 3600


class Event(Base):
    """Something that happened to a job, or to a flow. A trigger tells those who listen."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_job_id_id", "job_id", "id"),
        Index("ix_events_flow_id_id", "flow_id", "id", postgresql_where=text("flow_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    #: NULL = it happened to the flow as a whole.
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    #: The flow that the job is part of. No foreign key: each event would lock the row on which the flow's ends wait.
    flow_id: Mapped[UUID | None]
    at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    name: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class Attempt(Base):
    """One run of a job on a remote; an intent until the remote has an id for it."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("uq_attempts_job_id_n", "job_id", "n", unique=True),
        # Two live runs of one job never exist.
        Index("uq_attempts_live", "job_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("ix_attempts_stop_at", "stop_at", postgresql_where=text("stop_at IS NOT NULL")),
        Index("ix_attempts_sweep_at", "sweep_at", postgresql_where=text("sweep_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    n: Mapped[int] = mapped_column(SmallInteger)
    #: The RunPod endpoint that does it; NULL = our own queue.
    endpoint: Mapped[str | None]
    #: What the remote calls it; NULL = nobody knows yet whether the remote has it.
    remote_id: Mapped[str | None]
    #: Who runs it, since when, and when it was last heard of or handed over.
    worker: Mapped[str | None]
    claimed_at: Mapped[datetime | None] = mapped_column(Moment)
    beat_at: Mapped[datetime | None] = mapped_column(Moment)
    outcome: Mapped[dict[str, Any] | None]
    #: How often it was handed to the remote.
    sends: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    #: Milliseconds that it waited for a worker, and that it ran on a GPU: these are paid.
    delay_ms: Mapped[int | None]
    execution_ms: Mapped[int | None]
    #: The kind of GPU that it ran on, and US dollars for that time; NULL = nobody has told the kind, or its price.
    gpu: Mapped[str | None]
    cost_usd: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    #: We ended it, the remote may not know: when somebody must see to it that it stops there; NULL = nobody.
    stop_at: Mapped[datetime | None] = mapped_column(Moment)

    #: When what it left in the bucket can go; NULL = it leaves nothing.
    sweep_at: Mapped[datetime | None] = mapped_column(Moment)

    def charge(self, tool: str, delay_ms: int | None, execution_ms: int | None, worker: str | None) -> None:
        """Note what it took, and what that costs; what is not known stays as it was."""
        if delay_ms is None and self.claimed_at:  # our own queue: whoever claims it begins
            delay_ms = round((self.claimed_at - self.created_at).total_seconds() * 1000)
        self.delay_ms = self.delay_ms if delay_ms is None else delay_ms
        self.execution_ms = self.execution_ms if execution_ms is None else execution_ms
        self.worker = worker or self.worker
        self.gpu, self.cost_usd = prices.tell(tool, self.execution_ms)

    def close(self, *, stop: bool, limits: Limits) -> None:
        """End it; with `stop`, the remote has not said so, and must be told."""
        self.ended_at = soon(0)
        # Its claim must outlive whatever may still lie in a queue of the remote's, or that would begin after all.
        lies_s = limits.start_within_s + limits.timeout_s if self.endpoint else 0
        self.sweep_at = soon(DAY_S + lies_s)
        if stop and self.endpoint:
            self.stop_at = soon(0)
