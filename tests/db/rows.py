"""Rows to test with, and what is asked of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update

from db import intake, life
from db.base import soon, transaction
from db.intake import Asked, Planned
from db.jobs import Job
from db.traces import Event
from tools.catalog import TOOLS
from tools.outcome import Outcome

GIVEN: dict[str, dict[str, Any]] = {
    "mask": {"image_url": "r2://packshot/uploads/a.png", "object_name": "shoe"},
    "video": {"image_url": "r2://packshot/uploads/a.png"},
    "generate": {"model_id": 1, "prompt": "a shoe"},
    "train": {"images": "r2://packshot/uploads/a.zip", "model_name": "Shoe", "trigger_word": "TOK_SHOE"},
    "resolve_template": {"template_id": "00000000-0000-4000-8000-000000000000", "trigger_word": "TOK_SHOE"},
}
SIGNATURE: dict[str, Any] = {"task": "tasks.mask", "options": {}}


def asked(tool: str = "mask", priority: int = 1) -> Asked:
    """Ask for a job as HTTP does."""
    return Asked(uuid4(), TOOLS[tool], GIVEN[tool], TOOLS[tool].check(GIVEN[tool]).settle().model_dump(), priority)


def accept(tool: str = "mask", priority: int = 1) -> UUID:
    """Take in a job from HTTP."""
    job = asked(tool, priority)
    intake.accept(job)
    return job.id


def planned(*upstream: UUID, tool: str = "mask", **more: Any) -> Planned:
    """Plan a job of a canvas."""
    return Planned(uuid4(), TOOLS[tool], GIVEN[tool], more.pop("root_id", None) or uuid4(), list(upstream), **more)


def canvas(*steps: Planned) -> list[UUID]:
    """Take in a canvas; the first step is the one whose message is being sent."""
    steps[0].signature = SIGNATURE
    intake.remember(list(steps), root=True)
    return [step.id for step in steps]


def job(job_id: UUID) -> Job:
    """Read a job."""
    with transaction() as session:
        return session.get_one(Job, job_id)


def start(job_id: UUID) -> UUID:
    """Start a job; give the attempt's id."""
    with transaction() as session:
        locked = lock(session, job_id)
        return locked.start(locked.params or locked.given, {}, SIGNATURE).id


def end(job_id: UUID, status: Any = "completed", result: dict[str, Any] | None = None) -> bool:
    """End a job, with its neighbours."""
    with transaction() as session:
        return life.end(session, lock(session, job_id), status, result=result, outcome=outcome())


def settle(*job_ids: UUID) -> None:
    """End jobs well, and settle them."""
    for job_id in job_ids:
        end(job_id)
        life.settle(job_id, well=True)


def lock(session: Any, job_id: UUID) -> Job:
    """Lock a job that is there."""
    locked = life.lock(session, job_id)
    assert locked is not None
    return locked


def change(job_id: UUID, **values: Any) -> None:
    """Change a row behind the back of the transitions."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def forget_all() -> None:
    """Let no job be due, so that a test sees its own alone."""
    with transaction() as session:
        session.execute(update(Job).values(due_at=None))


def due_in(job_id: UUID) -> float | None:
    """Say in how many seconds a job is due, by the database's clock."""
    with transaction() as session:
        due_at = session.scalar(select(Job.due_at).where(Job.id == job_id))
        return (due_at - life.now(session)).total_seconds() if due_at else None


def told(job_id: UUID) -> list[str]:
    """List what happened to a job."""
    with transaction() as session:
        return list(session.scalars(select(Event.name).where(Event.job_id == job_id).order_by(Event.id)))


def outcome(**more: Any) -> dict[str, Any]:
    """Write down what an attempt came to."""
    return Outcome(engine="preview", seconds=0.5, **more).model_dump(mode="json")


def pass_time(job_id: UUID, seconds: float) -> None:
    """Make a job due, as if so many seconds had gone."""
    change(job_id, due_at=soon(-seconds))


def at_once(count: int, do: Callable[[], Any]) -> list[Any]:
    """Run it in many threads at the same moment; give what each came to, also if it was an error."""
    barrier = Barrier(count)

    def run() -> Any:
        barrier.wait()
        try:
            return do()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(count)]]
