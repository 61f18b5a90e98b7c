"""Patience with the bucket: what a GPU has made is not thrown away at the first PUT that fails."""

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

from settings import settings
from tools.errors import StorageFailed

T = TypeVar("T")

#: Seconds between the first two tries, and the longest between two.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0


def insist(store: Callable[[], T], stop: Event) -> T:
    """Try again while the bucket is away, for S3_PATIENCE_S; not where it refuses us, nor when nobody waits any more.

    Raises StorageFailed.
    """
    until, pause_s = monotonic() + settings().s3_patience_s, FIRST_PAUSE_S
    while True:
        try:
            return store()
        except StorageFailed as error:
            if not error.retryable or monotonic() + pause_s > until or stop.wait(pause_s):
                raise
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
