"""Celery's result backend, with one of its habits left out."""

from typing import Any

from celery.backends.redis import RedisBackend


class Results(RedisBackend):
    """Results in Redis."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do not subscribe to a task that is only being sent: `.get()` does so itself, when somebody waits.

        Celery subscribes before each send, so that a Redis that is away would hold up every sender for seconds,
        and a process that never waits, such as the API, would collect subscriptions.
        """
