"""Celery's result backend, which holds nobody up who only sends."""

from typing import Any

from celery.backends.redis import RedisBackend


class Results(RedisBackend):
    """Results in Redis.

    By itself Celery would try each of these for seconds while Redis is away, and then fail the whole canvas.
    """

    #: The house, whose doorbell knows whether Redis is there; Celery's stubs do not know this attribute.
    app: Any

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do not subscribe to a task that is only being sent: `.get()` does so itself, when somebody waits.

        Celery subscribes before each send, so that a process that never waits, such as the API, would collect
        subscriptions.
        """

    def add_pending_result(self, result: Any, *args: Any, **options: Any) -> Any:
        """Subscribe to a result, unless Redis is known to be away: `.get()` does so once more."""
        return result if self.app.doorbell.outage else super().add_pending_result(result, *args, **options)

    def apply_chord(self, *args: Any, **options: Any) -> None:
        """Note what a chord's header looks like, where it is a canvas itself."""
        if self.app.doorbell.ring(self.client.ping):
            super().apply_chord(*args, **options)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Note the size of a chord; the watcher does so too, before the members are sent again."""
        if self.app.doorbell.ring(self.client.ping):
            super().set_chord_size(group_id, chord_size)
