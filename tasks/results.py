"""Celery's result backend, with one of its habits left out, and one of ours put in."""

from collections.abc import Iterator
from typing import Any

from celery.backends.redis import RedisBackend
from celery.result import GroupResult

from tasks import canvas


class Results(RedisBackend):
    """Results in Redis."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do not subscribe to a task that is only being sent: `.get()` does so itself, when somebody waits.

        Celery subscribes before each send, so that a Redis that is away would hold up every sender for seconds,
        and a process that never waits, such as the API, would collect subscriptions.
        """

    def apply_chord(self, header_result_args: tuple[str, Any], body: Any, **kwargs: Any) -> None:
        """Let a chord's body know all its members before the first is sent.

        Each member's message tells of itself alone. Whoever sends them may die amid, or be slow: then the body would
        count as complete with those that had come so far, and be run with a part of what it is to see.
        """
        group_id, results = header_result_args
        if isinstance(results, list | tuple):  # of a generator, nobody knows yet how many it will make
            canvas.announce(body, list(leaves(results)))
        super().apply_chord((group_id, results), body, **kwargs)


def leaves(results: Any) -> Iterator[str]:
    """List the ids of the tasks that a chord counts."""
    for result in results:
        yield from leaves(result.results) if isinstance(result, GroupResult) else (result.id,)
