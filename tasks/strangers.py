"""What happens to tasks that Celery ends without asking us: revoked ones, and those of other people that fail."""

from typing import Any

from celery.signals import task_failure, task_revoked

from db import life
from db.base import transaction
from tasks import canvas, ending
from tasks.app import app
from tools.catalog import TOOLS
from tools.errors import Cancelled, Expired


@task_revoked.connect
def note_revoked(request: Any, *, expired: bool = False, **_: Any) -> None:
    """End the job of a revoked task, and what follows. Celery itself tells the rest of the canvas: nothing is sent."""
    job_id = canvas.read_id(request.id)
    with ending.transition() as session:
        if job_id and (job := life.lock(session, job_id)):
            error = Expired() if expired else Cancelled()
            if not life.end(session, job, "expired" if expired else "cancelled", error=error.problem()):
                life.drop_downstream(session, job.id)  # its last message was thrown away
            job.settle()


@task_failure.connect
def note_failure(sender: Any, task_id: str, **_: Any) -> None:
    """Cancel the jobs behind a failed task of other people: they would wait for ever. Ours do so by themselves."""
    if sender.name.removeprefix(canvas.PREFIX) in TOOLS:
        return
    request = sender.request
    options = {"task_id": task_id, "root_id": request.root_id, "chain": request.chain, "chord": request.chord}
    behind = canvas.plan(app, canvas.Message(sender.name, (), {}, options, root=False))
    with transaction() as session:
        life.drop(session, list(behind.jobs))
