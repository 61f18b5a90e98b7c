"""The Celery app, and how a job's message is sent."""

import json
import logging
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from celery import Celery
from celery.result import AsyncResult
from celery.signals import worker_init
from kombu.exceptions import OperationalError

from db import clock
from tasks import canvas
from tools.errors import ClockWrong, Unavailable

logger = logging.getLogger(__name__)

#: After a failure, seconds in which no further send is tried: the rows are due, and callers shall not wait.
PAUSE_S = 5


@worker_init.connect
def check_clock(**_: Any) -> None:
    """Start no worker by a wrong clock; without the database, nobody can tell."""
    try:
        clock.check()
    except ClockWrong as error:
        raise SystemExit(str(error)) from error  # Celery swallows any other exception here
    except Unavailable as error:
        logger.warning("this machine's clock could not be compared with the database's: %s", error)


class House(Celery):
    """Celery, but a canvas of our tasks becomes rows before its first message goes out.

    Not by the signal `before_task_publish`, as Celery swallows what a receiver of it raises, and here a canvas that
    cannot be remembered must not be sent.
    """

    def send_task(  # type: ignore[override]  # Celery's twenty options pass through as they are
        self, name: str, args: Any = None, kwargs: Any = None, *, known: bool = False, **options: Any
    ) -> AsyncResult[Any]:
        """Send a task; with `known`, its job is a row already."""
        if not known:
            options["task_id"] = options.get("task_id") or str(uuid4())
            parent = self.current_worker_task
            canvas.remember(self, canvas.Message(name, args, kwargs, options, root=parent is None))
        return super().send_task(name, args, kwargs, **options)


app = House("packshot", include=["tasks.run", "tasks.handle", "tasks.strangers", "tasks.parking"])
app.config_from_object("celeryconfig")
app.set_default()


class Sender:
    """Rings the doorbell; never raises, since whatever it sends is due in the database anyway."""

    def __init__(self) -> None:
        self.paused_until = 0.0

    def send(self, job_id: UUID, tool: str, signature: dict[str, Any] | None, queue: str = "main") -> bool:
        """Send a job's message: its own, if it has one, else a plain one. False if the broker is away."""
        if monotonic() < self.paused_until:
            return False
        message = app.signature(signature or {"task": f"tasks.{tool}", "options": {"task_id": str(job_id)}})
        return self.attempt(lambda: message.apply_async(known=True, queue=queue, ignore_result=False))

    def first_waiting(self, queue: str) -> UUID | None:
        """Read whose message is the next that a worker takes; None if no message waits, or none of a job's."""
        backend: Any = app.backend  # the same Redis
        if monotonic() < self.paused_until:
            return None
        try:
            message = backend.client.lindex(queue, -1)
        except backend.connection_errors as error:
            self.paused_until = monotonic() + PAUSE_S
            logger.warning("the broker is away, jobs wait in the database: %s", error)
            return None
        return canvas.read_id(json.loads(message)["headers"].get("id")) if message else None

    def attempt(self, publish: Any) -> bool:
        """Publish, and take a pause if that fails."""
        try:
            publish()
        except (OperationalError, OSError) as error:
            self.paused_until = monotonic() + PAUSE_S
            logger.warning("the broker is away, jobs wait in the database: %s", error)
            return False
        return True


sender = Sender()
