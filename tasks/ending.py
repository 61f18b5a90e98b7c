"""How a job ends: by its outcome, by its caller, or by the clock; and how its canvas hears of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from db import course, life, models, suspicions
from db.base import transaction
from db.jobs import Job, Status
from db.runs import Meter
from storage.address import parse
from storage.bucket import bucket
from tasks.app import app, sender
from tools import catalog
from tools.contract import LARGEST_SEED, Params, Tool
from tools.errors import Cancelled, Expired, HandlerFailed, JobNotFound, NoOutput, PathNotAllowed, ToolError
from tools.outcome import Outcome


@contextmanager
def transition() -> Iterator[Session]:
    """Run a transaction in which jobs may end; after its commit, send the jobs that this opens in their flows."""
    with transaction() as session:
        yield session
    for job_id, tool in course.take_opened(session):
        sender.send(job_id, tool, None)


@dataclass(frozen=True)
class Found:
    """What an attempt came to, and what it took; None = as our own machines count it."""

    job_id: UUID
    attempt_id: UUID
    outcome: Outcome
    meter: Meter | None = None


def conclude(job_id: UUID, attempt_id: UUID, outcome: Outcome, meter: Meter | None = None) -> None:
    """End a job by what its attempt came to and cost, and send it on. A second time is harmless."""
    for job in conclude_all([Found(job_id, attempt_id, outcome, meter)]):
        if job:
            send(job)


def conclude_all(found: Sequence[Found]) -> list[Job | None]:
    """End jobs by what their attempts came to; gives those that must be sent on, in the same order."""
    with transition() as session:
        jobs = life.lock_all(session, [one.job_id for one in found])
        course.lock_all(session, [job.flow_id for job in jobs.values() if job.flow_id])
        ended = [jobs[one.job_id] if finish(session, jobs.get(one.job_id), one) else None for one in found]
        life.free_places(session, [job.tool for job in ended if job])
    return ended


def finish(session: Session, job: Job | None, found: Found) -> bool:
    """End a locked job, if this is what its own attempt came to."""
    if job is None:
        return False
    if job.attempt is None or job.attempt.id != found.attempt_id:
        if found.meter is None:  # what our own machines took counts, whoever ended it
            job.charge(found.attempt_id, **asdict(own_meter(found.outcome)))
        if found.outcome.file and found.outcome.file.r2_path != read_file(job.outcome):
            suspicions.suspect(session, found.job_id, found.attempt_id, suspicions.LATE_OUTCOME)
        return False
    job.charge(found.attempt_id, **asdict(found.meter or own_meter(found.outcome)))
    close(session, job, understand(job, found.outcome))
    return True


def read_file(outcome: dict[str, Any] | None) -> str | None:
    """Read which file a job ended with."""
    return ((outcome or {}).get("file") or {}).get("r2_path")


def own_meter(outcome: Outcome) -> Meter:
    """Count what our own machines did: a GPU's time counts, a CPU's does not."""
    return Meter(execution_ms=round(outcome.seconds * 1000) if outcome.engine == "gpu" else 0)


def confirm(outcome: Outcome) -> Outcome:
    """Believe a remote that there is a file only when the bucket has it, whole.

    Raises:
        StorageFailed: the file could not be looked at; the outcome stays with the attempt.
    """
    if outcome.file is None:
        return outcome
    try:
        address = parse(outcome.file.r2_path)
    except PathNotAllowed:
        unread = NoOutput(f"The handler said that its file is at {outcome.file.r2_path[:200]!r}, which is no address.")
        return outcome.model_copy(update={"file": None, "error": unread.problem()})
    stored = bucket().head(address.key)
    if stored and (stored.size, stored.sha256) == (outcome.file.size, outcome.file.sha256):
        return outcome
    return outcome.model_copy(update={"file": None, "error": NoOutput().problem()})


#: Errors that are statuses of their own.
STATUSES: dict[str, Status] = {Cancelled.code: "cancelled", Expired.code: "expired"}


def understand(job: Job, outcome: Outcome) -> Outcome:
    """Fail an outcome whose params this house does not know: to be asked again would not change it."""
    if outcome.error or outcome.file is None:
        return outcome
    try:
        catalog.find(job.tool).check(outcome.params)
    except ToolError as error:
        unknown = f"The handler answered with params that are not known here; is it of another version? {error.detail}"
        return outcome.model_copy(update={"error": HandlerFailed(unknown, {"retryable": False}).problem()})
    return outcome


def close(session: Session, job: Job, outcome: Outcome) -> None:
    """Write the end of a locked job, whose place is freed later."""
    told = outcome.model_dump(mode="json")
    if outcome.error or outcome.file is None:
        status = STATUSES.get((outcome.error or {}).get("code", ""), "failed")
        life.end(session, job, status, error=outcome.error or NoOutput().problem(), outcome=told, free=False)
        return
    tool = catalog.find(job.tool)
    known = {"job_id": str(job.id), "status": "completed", "duration_seconds": round(outcome.seconds, 3)}
    known |= places(tool, outcome.file.r2_path)
    if tool.trains:
        known["model_id"] = models.complete(session, job.id, outcome.file.r2_path)
    params = tool.check(outcome.params)
    known |= list_images(tool, params, outcome)
    job.params = params.model_dump(mode="json")
    life.end(session, job, "completed", result=tool.answer(params, **known), outcome=told, free=False)


def places(tool: Tool, r2_path: str) -> dict[str, str]:
    """Say where a file is: in the bucket, and on our own routes."""
    url = f"/api/{tool.files}/{r2_path.rsplit('/', 1)[-1]}"
    return {"r2_path": r2_path, "model_string": r2_path, "image_url": url, "video_url": url}


def list_images(tool: Tool, params: Params, outcome: Outcome) -> dict[str, Any]:
    """List all pictures of a job that made several, each with its seed."""
    further = [file.r2_path for name, file in sorted(outcome.extras.items()) if name.startswith("image_")]
    if not further or outcome.file is None:
        return {}
    seed = getattr(params, "seed", 0)
    made = enumerate([outcome.file.r2_path, *further])
    return {"images": [{**places(tool, path), "seed": (seed + n) % (LARGEST_SEED + 1)} for n, path in made]}


def cancel(job_id: UUID) -> None:
    """Cancel a job; one that has ended stays as it is. Raises JobNotFound.

    A handler of ours hears of it at its next beat, RunPod from the watcher; a message that still waits finds the job
    ended.
    """
    with transition() as session:
        job = life.lock(session, job_id)
        if job is None:
            raise JobNotFound
        brought = job.blocked  # then Celery will bring its message, or nothing does
        cancelled = life.end(session, job, "cancelled", error=Cancelled().problem())
    if cancelled and not brought:
        send(job)


def send(job: Job) -> None:
    """Send an ended job's message, so that its canvas goes on."""
    sender.send(job.id, job.tool, job.signature, "resume", job.given)


def restore_chord(job: Job) -> None:
    """Count a chord's members afresh, before all of them are sent again: a flush may have forgotten them.

    Without its size Celery never runs the body, and its mark "done" would keep it from doing so once more.
    """
    backend: Any = app.backend
    group_id = ((job.signature or {}).get("options") or {}).get("group_id")
    if not group_id:
        return
    with transaction() as session:
        size = life.count_members(session, job.id)
    counted = [backend.get_key_for_group(group_id, part) for part in (".j", ".t", ".d", ".c")]
    if size and app.doorbell.ring(lambda: backend.client.delete(*counted)):
        backend.set_chord_size(group_id, size)
