"""The Celery app, and how a job's message is sent."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from celery import Celery
from celery.app import trace
from celery.result import AsyncResult
from celery.signals import setup_logging, worker_init

import journal
from db import clock
from settings import settings
from tasks import brief, canvas
from tasks.doorbell import Doorbell
from tools.errors import ClockWrong, Unavailable

logger = logging.getLogger(__name__)

#: Seconds that a sender waits for Redis; a worker, which waits for messages, has longer (celeryconfig.py).
SEND_TIMEOUT_S = 2

#: Orders by which whoever reaches Redis, or Flower, could bring the workers down.
ORDERS = (
    "shutdown", "pool_grow", "pool_shrink", "pool_restart", "autoscale", "add_consumer", "cancel_consumer",
    "rate_limit", "time_limit",
)  # fmt: skip


@worker_init.connect
def check_clock(**_: Any) -> None:
    """Start no worker by a wrong clock; without the database, nobody can tell."""
    try:
        clock.check()
    except ClockWrong as error:
        raise SystemExit(str(error)) from error  # Celery swallows any other exception here
    except Unavailable as error:
        logger.warning("this machine's clock could not be compared with the database's: %s", error)


@setup_logging.connect
def configure_logging(loglevel: int | None = None, **_: Any) -> None:
    """Log as our other programs do; what a task came to is in its row, and prompts are in no line."""
    journal.configure(loglevel)
    trace.LOG_SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss"


@worker_init.connect
def refuse_orders(**_: Any) -> None:
    """Heed no order from Redis that would stop or change this worker, unless FLOWER_CONTROL allows it."""
    from celery.worker.control import Panel  # noqa: PLC0415 - a sender shall not load all of a worker

    if settings().flower_control == "off":
        for order in ORDERS:
            Panel.data.pop(order, None)


class House(Celery):
    """Celery, but a canvas of our tasks becomes rows before its first message goes out.

    Not by the signal `before_task_publish`, as Celery swallows what a receiver of it raises, and here a canvas that
    cannot be remembered must not be sent.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.doorbell = Doorbell(self.knock)

    def send_task(  # type: ignore[override]  # Celery's twenty options pass through as they are
        self, name: str, args: Any = None, kwargs: Any = None, *, known: bool = False, **options: Any
    ) -> AsyncResult[Any]:
        """Send a task; with `known`, its job is a row already.

        While Redis is away a task of ours counts as sent all the same: its row is due. Anybody else's is an error.
        """
        options["task_id"] = options.get("task_id") or str(uuid4())
        if name.startswith(canvas.PREFIX):
            options = {**brief.shown(args, kwargs, options.get("task_id")), **options}
        if known:
            return super().send_task(name, args, kwargs, **options)
        parent = self.current_worker_task
        if not canvas.remember(self, canvas.Message(name, args, kwargs, options, root=parent is None)):
            return super().send_task(name, args, kwargs, **options)
        publish = super().send_task
        self.doorbell.ring(lambda: publish(name, args, kwargs, **options))
        return self.AsyncResult(options["task_id"])

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Open a connection to send on, which does not wait for long."""
        return super().connection_for_write(url, **{"transport_options": {"socket_timeout": SEND_TIMEOUT_S}, **options})

    def knock(self) -> None:
        """Ask Redis for a sign of life. Raises what Redis raises."""
        self.backend.client.ping()  # type: ignore[attr-defined]  # it is Redis


app = House("packshot", include=["tasks.run", "tasks.handle", "tasks.strangers", "tasks.parking"])
app.config_from_object("celeryconfig")
app.set_default()


class Sender:
    """Sends the messages of jobs; never raises, since whatever it sends is due in the database anyway."""

    def send(
        self, job_id: UUID, tool: str, signature: dict[str, Any] | None, queue: str = "main",
        given: Mapping[str, Any] | None = None,
    ) -> bool:  # fmt: skip
        """Send a job's message: its own, if it has one, else a plain one. False if the broker is away.

        What was `given` is in the job's row; some of it is told for those who look on.
        """
        if app.doorbell.outage:
            return False
        message = app.signature(signature or {"task": f"tasks.{tool}", "options": {"task_id": str(job_id)}})
        told: dict[str, Any] = {"kwargsrepr": brief.told(given)} if given else {}
        return self.attempt(lambda: message.apply_async(known=True, queue=queue, ignore_result=False, **told))

    def first_waiting(self, queue: str) -> UUID | None:
        """Read whose message is the next that a worker takes; None if no message waits, or none of a job's."""
        backend: Any = app.backend  # the same Redis
        found: list[bytes | None] = []
        app.doorbell.ring(lambda: found.append(backend.client.lindex(queue, -1)))
        message = found[0] if found else None
        return canvas.read_id(json.loads(message)["headers"].get("id")) if message else None

    def attempt(self, publish: Callable[[], object]) -> bool:
        """Publish; False if the broker is away."""
        return app.doorbell.ring(publish)


sender = Sender()
