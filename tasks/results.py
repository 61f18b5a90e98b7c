"""Celery's result backend, which holds nobody up who only sends, and tells a chord's body its members."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from celery.backends.redis import RedisBackend
from celery.result import GroupResult

from tasks import canvas


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

    def on_result_fulfilled(self, result: Any) -> None:
        """Unsubscribe from a result that nobody waits for any more; a Redis that is away forgets it by itself.

        Celery does so where garbage is collected, also at a program's end: a traceback would come from there.
        """
        # Celery's word for a Redis that is away. No bell is rung: at a program's end nobody can wait for an answer.
        with suppress(RuntimeError):
            super().on_result_fulfilled(result)  # type: ignore[misc]  # the stubs do not know it

    def apply_chord(self, header_result_args: tuple[str, Any], body: Any, **kwargs: Any) -> None:
        """Let a chord's body know all its members before the first is sent.

        Each member's message tells of itself alone. Whoever sends them may die amid, or be slow: then the body would
        count as complete with those that had come so far, and be run with a part of what it is to see.
        """
        group_id, results = header_result_args
        if isinstance(results, list | tuple):  # of a generator, nobody knows yet how many it will make
            canvas.announce(body, list(leaves(results)))
        if self.app.doorbell.ring(self.client.ping):
            super().apply_chord((group_id, results), body, **kwargs)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Note the size of a chord; the watcher does so too, before the members are sent again."""
        if self.app.doorbell.ring(self.client.ping):
            super().set_chord_size(group_id, chord_size)


def leaves(results: Any) -> Iterator[str]:
    """List the ids of the tasks that a chord counts."""
    for result in results:
        yield from leaves(result.results) if isinstance(result, GroupResult) else (result.id,)
