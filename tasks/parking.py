"""What Celery notes of a task that stops without a result, cut short: with us, each job does so once."""

import sys
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.app import trace
from celery.exceptions import Ignore
from celery.signals import worker_init


class Note(ExceptionInfo):
    """Celery's note of an exception; of `Ignore`, which says that all is well, no traceback is copied and printed.

    Celery prints one for each, with the source of its own longest function, and throws it away: 0.8 ms a job.
    """

    def __init__(self, exc_info: Any = None, internal: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's signature
        kind, exception, _ = exc_info or sys.exc_info()
        if isinstance(exception, Ignore):
            vars(self).update(type=kind, exception=exception, tb=None, traceback="", internal=internal)
        else:
            super().__init__(exc_info, internal)


@worker_init.connect
def note_briefly(**_: Any) -> None:
    """Let this worker's tasks be noted so."""
    trace.ExceptionInfo = Note  # type: ignore[attr-defined]  # its name is private to the types alone
