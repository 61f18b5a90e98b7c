"""Patience with the bucket: no job fails, and nothing made is thrown away, because it was away for a moment."""

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

from settings import settings
from tools.errors import StorageFailed

T = TypeVar("T")

#: Seconds between the first two tries, and the longest between two.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0


def insist(act: Callable[[], T], stop: Event, patience_s: float | None = None) -> T:
    """Try again while the bucket is away; not where it refuses us, nor when nobody waits any more.

    Args:
        act: Speaks to the bucket, and may do so more than once.
        stop: Set when nobody waits any more.
        patience_s: For how many seconds. S3_PATIENCE_S by itself, for what has been made; less before that.

    Raises StorageFailed.
    """
    until, pause_s = monotonic() + (settings().s3_patience_s if patience_s is None else patience_s), FIRST_PAUSE_S
    while True:
        try:
            return act()
        except StorageFailed as error:
            if not error.retryable or monotonic() + pause_s > until or stop.wait(pause_s):
                raise
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
