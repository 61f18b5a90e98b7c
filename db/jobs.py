"""A job: the table, and the transitions as methods."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import Float, ForeignKey, Index, SmallInteger, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from db.base import Base, Moment, soon
from db.traces import Attempt, Event
from tools import catalog
from tools.contract import Limits
from tools.deadlines import SHORTEST_S

Status = Literal["pending", "processing", "completed", "failed", "cancelled", "expired"]
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})

#: The stages that decide what a pending job needs.
BLOCKED = "waiting_for_upstream"
THROTTLED = "throttled"

#: Attempts at one job; a fourth would only kill a fourth worker.
MOST_ATTEMPTS = 3

#: Seconds after which somebody looks whether what should have happened did happen.
SEND_AGAIN_S = 10
SUBMIT_AGAIN_S = 15
LOOK_AGAIN_S = 10
THROTTLED_S = 300


class Job(Base):
    """One call of one tool; its id is the Celery task id."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_jobs_created_at_id", "created_at", "id"),
        Index("ix_jobs_in_flight", "tool", postgresql_where=text("status = 'processing'")),
        Index(
            "ix_jobs_throttled",
            *("tool", "priority", "created_at"),
            postgresql_where=text("status = 'pending' AND stage = 'throttled'"),
        ),
        Index(
            "ix_jobs_upstream", "upstream", postgresql_using="gin", postgresql_where=text("cardinality(upstream) > 0")
        ),
        Index("ix_jobs_members", "members", postgresql_using="gin", postgresql_where=text("cardinality(members) > 0")),
        Index("ix_jobs_sources", "sources", postgresql_using="gin", postgresql_where=text("cardinality(sources) > 0")),
        Index("ix_jobs_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index("ix_jobs_flow_id", "flow_id", postgresql_where=text("flow_id IS NOT NULL")),
        Index(
            "ix_jobs_key_id",
            "key_id",
            postgresql_where=text("status IN ('pending', 'processing') AND key_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tool: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    #: Says more than the status, and is free to grow: queued, throttled, sampling …
    stage: Mapped[str] = mapped_column(default="queued", server_default="queued")
    #: 0 somebody waits for it, 1 a single job, 2 one of a batch. The lowest goes first.
    priority: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")
    #: The first task of its canvas, and the jobs of ours that come directly before it there.
    root_id: Mapped[UUID]
    upstream: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    #: The tasks, ours or not, whose chord it is the body of: a chord's size is lost with Redis.
    members: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    #: The jobs whose results it was handed.
    drawn: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    #: The flow that it is part of, and the name of its step there.
    flow_id: Mapped[UUID | None] = mapped_column(ForeignKey("flows.id", ondelete="SET NULL"))
    step: Mapped[str | None]
    #: The job that it does once more.
    retry_of: Mapped[UUID | None]
    #: All the jobs that made what it works on, also where its caller named their files and models: its lineage.
    sources: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    #: What the caller gave; with references read and gaps filled; what the ids in it stand for.
    given: Mapped[dict[str, Any]]
    params: Mapped[dict[str, Any] | None]
    found: Mapped[dict[str, Any] | None]
    progress: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    #: Seconds on a GPU that all its attempts cost.
    gpu_seconds: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    #: Seconds that its attempts waited for a worker.
    queue_seconds: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    #: US dollars for its GPU seconds; NULL = the price of some of them is not known.
    cost_usd: Mapped[float | None] = mapped_column(Float, default=0.0, server_default="0")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    #: What its last attempt came to, with engine, warnings and facts.
    outcome: Mapped[dict[str, Any] | None]
    #: The Celery message that carries it on; NULL = a plain one, or one that the step before brings.
    signature: Mapped[dict[str, Any] | None]
    sends: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    #: When somebody must look after it; NULL = nobody.
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    not_before: Mapped[datetime | None] = mapped_column(Moment)
    start_by: Mapped[datetime | None] = mapped_column(Moment)
    #: What the caller said of time, in seconds; NULL = the tool's own limits.
    start_within_s: Mapped[int | None]
    timeout_s: Mapped[int | None]
    #: GPU seconds that all its attempts may take; NULL = as many as they need.
    max_gpu_s: Mapped[int | None]
    #: Whose key it was asked for with, and by which request; NULL = none was needed, or not over HTTP.
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))
    started_at: Mapped[datetime | None] = mapped_column(Moment)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    settled_at: Mapped[datetime | None] = mapped_column(Moment)

    attempts: Mapped[list[Attempt]] = relationship(lazy="selectin", order_by=Attempt.n)
    events: WriteOnlyMapped[Event] = relationship(passive_deletes=True)

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that is under way."""
        return next((attempt for attempt in self.attempts if attempt.ended_at is None), None)

    @property
    def limits(self) -> Limits:
        """Its tool's limits, or narrower ones where its caller said so."""
        own = catalog.find(self.tool).limits
        return replace(
            own, start_within_s=self.start_within_s or own.start_within_s, timeout_s=self.timeout_s or own.timeout_s
        )

    @property
    def spent(self) -> bool:
        """It may not take the GPU seconds that the shortest attempt takes."""
        return self.max_gpu_s is not None and self.max_gpu_s - self.gpu_seconds < SHORTEST_S

    @property
    def blocked(self) -> bool:
        """It waits for a step before it, which will bring its message."""
        return self.status == "pending" and self.stage == BLOCKED

    def hold(self, stage: str, signature: dict[str, Any], due_at: Any) -> None:
        """Stay pending with its message kept here, until it is due."""
        self.signature, self.stage = signature, stage
        self.due_at = due_at if self.start_by is None else func.least(due_at, self.start_by)
        self._tell(stage)

    def arrive(self, signature: dict[str, Any]) -> None:
        """Its message has come and is kept here; if it waited for a step before it, its own time begins.

        From now on it is ours to send: also that of a job which ends in this very run, whose worker may die before
        Celery has carried the canvas on.
        """
        self.signature = signature
        if self.blocked:
            self.stage = "queued"
            self.start_by = soon(self.limits.start_within_s)

    def start(
        self, params: dict[str, Any], found: dict[str, Any], signature: dict[str, Any], endpoint: str | None = None
    ) -> Attempt:
        """→ processing, with an attempt as an intent. From the commit on, the job is parked."""
        self.params, self.found, self.signature = params, found, signature
        self.status, self.started_at = "processing", soon(0)
        return self._try("started", endpoint)

    def submitted(self, remote_id: str, again_s: float = LOOK_AGAIN_S) -> None:
        """Note what the remote calls the attempt."""
        if self.attempt:  # it may have ended before the word of its beginning came
            self.attempt.remote_id, self.due_at = remote_id, soon(again_s)

    def submitted_late(self, attempt_id: UUID, remote_id: str) -> bool:
        """Note what the remote calls an attempt that has ended meanwhile; True: by our word, so it must stop there."""
        ended = next((one for one in self.attempts if one.id == attempt_id and one.ended_at is not None), None)
        if ended is None or ended.remote_id is not None:
            return False
        ended.remote_id = remote_id
        if self.outcome is None:
            ended.close(stop=True, limits=self.limits)
        return self.outcome is None

    def lose(self, endpoint: str | None = None) -> Attempt | None:
        """Give up the attempt, which is proved dead, and make a new one; None after the last."""
        lost = self.attempt
        if lost is None or len(self.attempts) >= MOST_ATTEMPTS or self.spent:
            return None
        if self.max_gpu_s is not None:
            self.timeout_s = min(self.limits.timeout_s, int(self.max_gpu_s - self.gpu_seconds))
        lost.close(stop=True, limits=self.limits)
        self.start_by = soon(self.limits.start_within_s)  # each attempt has its time to wait
        return self._try("attempt_lost", endpoint)

    def end(
        self, status: Status, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None,
        outcome: dict[str, Any] | None = None,
    ) -> bool:  # fmt: skip
        """→ completed, failed, cancelled or expired. The first word is the last word: False if it had ended."""
        if self.status in ENDED:
            return False
        # Whoever ends a job sends it on at once; it is due if that was lost. The message of a blocked job is not ours
        # to send: Celery brings it, or nothing does.
        self.due_at = None if self.blocked else soon(SEND_AGAIN_S)
        self.result, self.error, self.outcome = result, error, outcome
        self.status, self.stage, self.ended_at, self.sends = status, status, soon(0), 0
        if status == "completed":
            self.progress = 1.0
        if self.attempt:
            self.attempt.close(stop=outcome is None, limits=self.limits)
        self._tell(status)
        return True

    def charge(self, attempt_id: UUID, *, delay_ms: int | None, execution_ms: int | None, worker: str | None) -> None:
        """Note what an attempt took, and who did it; what is not known stays as it was."""
        for attempt in self.attempts:
            if attempt.id == attempt_id:
                attempt.charge(self.tool, delay_ms, execution_ms, worker)
        self.gpu_seconds = sum(attempt.execution_ms or 0 for attempt in self.attempts) / 1000
        self.queue_seconds = sum(attempt.delay_ms or 0 for attempt in self.attempts) / 1000
        costs = [attempt.cost_usd for attempt in self.attempts if attempt.execution_ms]
        self.cost_usd = None if None in costs else sum(cost or 0.0 for cost in costs)

    def settle(self) -> None:
        """What follows the ended job has been sent on."""
        if self.status in ENDED:
            self.due_at, self.settled_at = None, soon(0)

    def unsettle(self) -> None:
        """What followed it was lost: it must be sent again."""
        self.due_at, self.settled_at = soon(SEND_AGAIN_S), None

    def _try(self, name: str, endpoint: str | None) -> Attempt:
        attempt = Attempt(id=uuid4(), n=len(self.attempts) + 1, sends=0, endpoint=endpoint)
        self.attempts.append(attempt)
        self.stage, self.due_at, self.sends = "waiting_for_gpu", soon(SUBMIT_AGAIN_S), 0
        self._tell(name, attempt=str(attempt.id), n=attempt.n)
        return attempt

    def _tell(self, name: str, **data: Any) -> None:
        how = {"stage": self.stage, "progress": self.progress or 0.0}
        self.events.add(Event(name=name, flow_id=self.flow_id, data=how | data))
