"""The Celery face of a tool: its first message starts the job, its last one answers for it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celery import Celery, Task, group
from celery.exceptions import Ignore
from sqlalchemy.orm import Session

import journal
from db import intake, life, lineage, models, preparing
from db.base import soon, transaction
from db.intake import Planned
from db.jobs import THROTTLED, THROTTLED_S, Job
from db.traces import Attempt
from storage.door import ARCHIVE, admit
from tasks import answers, ending
from tasks.app import app
from tasks.canvas import read_id
from tasks.hold import held
from tasks.remotes.choice import endpoint_of
from tools.binding import bind, inherits
from tools.catalog import TOOLS
from tools.contract import Params, Tool
from tools.deadlines import Deadlines
from tools.errors import Expired, ToolError, Unavailable, recall
from tools.references import Handed

logger = logging.getLogger(__name__)


class ToolTask(Task[Any, Any]):
    """One tool as a Celery task. Positional arguments are results of other tasks; params go by name."""

    throws = (ToolError,)  # a failed job is no failure of the worker
    typing = False  # the contract checks, and says more than Python would
    max_retries = None

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.name = f"tasks.{tool.name}"
        self.__doc__ = tool.summary

    def run(self, *upstream: Any, **given: Any) -> dict[str, Any]:
        """Start the job, or answer for it: `{…the seed's body, "job_id"}`."""
        request = self.request
        journal.begin(job_id=request.id)
        if request.called_directly or request.is_eager:
            raise TypeError(f"{self.tool.name} runs as a job: call .delay(…) or .s(…)")
        try:
            root_id = read_id(request.root_id) or UUID(request.id)  # other people's tasks may have any id
            resumed = (request.delivery_info or {}).get("routing_key") == "resume"
            error, result = advance(Call(self.tool, UUID(request.id), root_id, upstream, given, self.park, resumed))
        except Unavailable as away:
            raise self.retry(exc=away, countdown=AGAIN_S, known=True) from away  # type: ignore[call-arg]  # options are passed on
        if error:  # also one that says that something was away: it is over, however soon that comes back
            raise recall(error)
        if result is None:
            raise Ignore
        return {**result, "job_id": request.id}

    def park(self) -> dict[str, Any]:
        """Write this message down, so that the job's end can send it again. The params are in the row by then."""
        return dict(self.signature_from_request(args=(), kwargs={}, expires=None, queue="resume", retries=0))

    def after_return(self, status: str, _retval: Any, task_id: str, *_: Any) -> None:
        """Settle the job: Celery calls this once it has sent on what follows; it says FAILURE too if it could not."""
        if status in {"SUCCESS", "FAILURE"}:
            life.settle(UUID(task_id), well=status == "SUCCESS")

    def map(self, it: Iterable[Any]) -> group:  # type: ignore[override]  # a group, for the reason below
        """Run one job for each result; Celery's own would run them all inside of one task."""
        return group(self.s(item) for item in it)

    def starmap(self, it: Iterable[Iterable[Any]]) -> group:  # type: ignore[override]  # a group, for the reason below
        """Run one job for each row of results."""
        return group(self.s(*items) for items in it)

    def chunks(self, it: Iterable[Iterable[Any]], n: int) -> group:  # type: ignore[override]  # a group, for the reason below  # noqa: ARG002 - Celery's signature
        """Run one job for each row of results: chunks save messages, of which a job needs few."""
        return self.starmap(it)


#: Seconds after which a task tries again when the database or the bucket is away.
AGAIN_S = 5


@dataclass(frozen=True)
class Call:
    """One message of a job: what it says, and how to write it down."""

    tool: Tool
    job_id: UUID
    root_id: UUID
    upstream: tuple[Any, ...]
    given: dict[str, Any]
    park: Callable[[], dict[str, Any]]
    #: It says that the job has ended.
    resumed: bool = False


def advance(call: Call) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Take the job one step on: its error or its result; neither while it goes on elsewhere.

    Raises:
        Unavailable: try again later.
    """
    if call.resumed and (ended := life.read_end(call.job_id)):
        return ended
    with held(call.job_id) if is_slow(call) else nullcontext(enter_result=True) as mine:
        if not mine:
            return None, None
        # A message that says something is most likely the first: what it says is bound before the row is locked.
        prepared = try_to_prepare(call) if call.given or call.upstream else None
    job, attempt = step(call, prepared)
    if job.status == "pending" and job.params is None:
        job, attempt = step(call, prepare(call))
    if attempt and attempt.endpoint is None:  # the watcher speaks to RunPod: for many at once, and no thread waits
        answers.submit(job)
    return job.error, job.result


def is_slow(call: Call) -> bool:
    """Tell whether to prepare it takes longer than a message may stay with a worker: all the photos of a dataset."""
    return any(kind.door == ARCHIVE and call.given.get(name) for name, kind in call.tool.takes.items())


@dataclass(frozen=True)
class Prepared:
    """The params of a job with all gaps filled, or why there are none."""

    params: Params | None
    drawn: list[UUID]
    error: ToolError | None = None


def prepare(call: Call) -> Prepared:
    """Bind the params, and let their files in through the door: that may take seconds, so no row is locked."""
    with transaction() as session:
        handed = lineage.hand_on(session, call.upstream)
        drawn = lineage.job_ids([one.values for one in handed.values()])
        further = lineage.trace(session, drawn) if inherits(call.tool, call.given) else []
    try:
        told, _ = call.tool.part(call.given)
        return Prepared(admit(call.tool, bind(call.tool, told, handed, further), proved(handed)), drawn)
    except Unavailable:
        raise
    except ToolError as error:
        return Prepared(None, drawn, error)


def try_to_prepare(call: Call) -> Prepared | None:
    """Prepare it; None where something is away that the job, by its row, does not need any more. Raises Unavailable."""
    try:
        return prepare(call)
    except Unavailable:
        if preparing.expect(call.job_id, AGAIN_S):
            raise
        return None


def proved(handed: Mapping[str, Handed]) -> set[str]:
    """Collect what jobs of ours handed on."""
    return {value for one in handed.values() if one.tool for value in one.values.values() if isinstance(value, str)}


def step(call: Call, prepared: Prepared | None = None) -> tuple[Job, Attempt | None]:
    """Do what the locked row allows; the attempt, if one was just made."""
    with ending.transition() as session:
        job = life.lock(session, call.job_id) or add(session, call)
        if job.status != "pending":
            return job, None
        if prepared and job.params is None:
            job.params = prepared.params.settle().model_dump(mode="json") if prepared.params else None
            job.drawn = prepared.drawn
        error = prepared.error if prepared else None
        if job.params is None and error is None:
            return job, None  # this message says nothing: what the job is told must be bound first
        error = error or (Expired() if life.is_late(session, job) else None)
        job.arrive(call.park())
        if error is None:
            return job, begin(session, job, call.tool)
        life.end(session, job, ending.STATUSES.get(error.code, "failed"), error=error.problem())
        return job, None


def add(session: Session, call: Call) -> Job:
    """Add the row of a task that no canvas announced: a callback that was linked."""
    late = Planned(
        call.job_id, call.tool, call.given, call.root_id, signature=call.park(), deadlines=read_deadlines(call)
    )
    intake.insert_planned(session, late)
    return session.get_one(Job, call.job_id, with_for_update=True)


def read_deadlines(call: Call) -> Deadlines:
    """Read what a message says of time; where that cannot be read, the job ends with just that error."""
    try:
        return call.tool.part(call.given)[1]
    except ToolError:
        return Deadlines()


def begin(session: Session, job: Job, tool: Tool) -> Attempt | None:
    """Start the job, do it at once, or let it wait for its hour or its place."""
    params, signature = tool.check(job.params or {}), job.signature or {}
    if life.is_early(session, job):
        job.hold("delayed", signature, job.not_before)
        return None
    if not tool.local and life.is_full(session, tool):
        job.hold(THROTTLED, signature, soon(THROTTLED_S))
        return None
    job.sources = sorted({*job.drawn, *lineage.find_sources(session, tool, job.params or {})})
    try:
        found = life.look_up(session, tool, params)
        done = tool.answer(params, **tool.local(params, found)) if tool.local else None
    except ToolError as error:
        life.end(session, job, "failed", error=error.problem())
        return None
    if done is not None:
        life.end(session, job, "completed", result=done)
        return None
    if tool.trains:
        models.expect(session, job.id, params.model_dump())
    attempt = job.start(job.params or {}, found, signature, endpoint_of(tool.name))
    with journal.about(attempt_id=attempt.id, flow_id=job.flow_id, request_id=job.request_id):
        logger.info("attempt begun", extra={"tool": tool.name, "endpoint": attempt.endpoint or "own"})
    answers.name(session, job)
    return attempt


@app.on_after_finalize.connect
def register(sender: Celery, **_: Any) -> None:
    """Make a task of each tool, once somebody needs one: importing this module reads no environment."""
    for tool in TOOLS.values():
        sender.register_task(ToolTask(tool))
