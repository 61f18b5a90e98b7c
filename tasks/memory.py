"""Notice that Redis has forgotten what it was told: then everything is rung for again."""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from db import rings
from tasks.app import app

logger = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_S = 5.0

#: A key of ours that holds which Redis wrote it: one that was started anew may have lost messages, too.
MARK = "packshot:memory"

#: Looks in vain after which all is sent again; what a shorter absence has cost is made up for anyway.
LONG = 2


class Memory:
    """Looks whether Redis still has our mark."""

    def __init__(self) -> None:
        self.next_at = monotonic()
        self.missed = 0

    def due(self) -> list[tuple[str, Callable[[], None]]]:
        """Give the look, when it is time for it."""
        if monotonic() < self.next_at:
            return []
        self.next_at = monotonic() + LOOK_S
        return [("Redis's memory", self.look)]

    def look(self) -> None:
        """Look once. Two watchers that find the mark gone both ring, which is harmless."""
        if not app.doorbell.ring(self.check):
            self.missed += 1

    def check(self) -> None:
        """Ring for everything again if Redis has forgotten, or was away for long. Raises what Redis raises."""
        backend: Any = app.backend
        who = str(backend.client.info("server").get("run_id", "")).encode()
        known = backend.client.get(MARK)
        if known != who or self.missed >= LONG:
            count = rings.ring_again()  # before the mark: if the database is away, the next look shall find it gone
            level = logging.WARNING if count else logging.INFO  # at the first start of a house nobody need worry
            logger.log(level, "Redis %s: %s jobs are sent again", why(known, who), count)
            backend.client.set(MARK, who)
        self.missed = 0


def why(known: bytes | None, who: bytes) -> str:
    """Say what has happened to Redis."""
    if known is None:
        return "has forgotten everything, or is new"
    return "was started anew" if known != who else "was away"
