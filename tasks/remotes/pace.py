"""How often a remote is asked: seldom while nothing can have ended, and never more than it allows."""

from threading import Lock
from time import monotonic

#: The shortest and the longest time between two looks, in seconds: people watch the progress.
SHORTEST_S, LONGEST_S = 1.0, 5.0


def pace_s(age_s: float, usual_s: float) -> float:
    """Say when to look again: often about the time when attempts usually end, seldom before and long after."""
    return min(max(abs(usual_s - age_s) / 4, SHORTEST_S), LONGEST_S)


class Tokens:
    """So many calls in a second, and so many saved up."""

    def __init__(self, per_s: float, most: float) -> None:
        self.per_s, self.most = per_s, most
        self.left, self.at = most, monotonic()
        self.lock = Lock()

    def take(self) -> bool:
        """Take one, if there is one."""
        with self.lock:
            now = monotonic()
            self.left = min(self.most, self.left + (now - self.at) * self.per_s)
            self.at = now
            if self.left < 1:
                return False
            self.left -= 1
            return True
