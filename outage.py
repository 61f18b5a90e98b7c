"""What is away is said once: one line when it goes, and one when it is back."""

import logging
from threading import Lock
from time import monotonic

logger = logging.getLogger(__name__)


class Outage:
    """One thing that this process needs, and since when it is away. Threads may share it."""

    def __init__(self, what: str, meanwhile: str) -> None:
        #: As in "The database is away"; and what that means for the reader of the log.
        self.what, self.meanwhile = what, meanwhile
        self.since: float | None = None
        #: What was said when it went.
        self.why = ""
        self.lock = Lock()

    def __bool__(self) -> bool:
        """Tell whether it is away, as far as we know."""
        return self.since is not None

    def begin(self, why: object) -> bool:
        """Note that it is away; True if that is new."""
        with self.lock:
            if self.since is not None:
                return False
            self.since, self.why = monotonic(), first_line(why)
        logger.warning("%s is away (%s): %s", self.what, self.why, self.meanwhile)
        return True

    def end(self) -> None:
        """Note that it is there."""
        if self.since is None:  # nearly always: no lock for that
            return
        with self.lock:
            since, self.since = self.since, None
        if since is not None:
            logger.warning("%s is back after %.1f s", self.what, monotonic() - since)


def first_line(why: object) -> str:
    """Give the first line of a reason: what servers say has several."""
    text = str(why).strip()
    return text.splitlines()[0][:200] if text else type(why).__name__
