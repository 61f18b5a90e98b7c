"""How often a remote is asked: seldom while nothing can have ended, and never more than it allows."""

from threading import Lock
from time import monotonic

#: The shortest and the longest time between two looks, in seconds: people watch the progress.
SHORTEST_S, LONGEST_S = 1.0, 5.0

#: Looks in a second that all attempts under way share, where the remote tells of ends by itself; and where it does not:
#: far from the usual end of an attempt, at the oldest when nobody knows that, and about it.
TOLD_PER_S, FAR_PER_S, UNKNOWN_PER_S, NEAR_PER_S = 10.0, 200.0, 333.0, 800.0

#: The longest time between two looks in any crowd: RunPod keeps a result for half an hour.
CROWDED_S = 600.0


def pace_s(age_s: float, usual_s: float, crowd: int = 1, *, oldest_s: float | None = None, told: bool = False) -> float:
    """Say when to look again: often about the time when attempts usually end, seldom else, and in a crowd.

    Args:
        age_s: How old the attempt is.
        usual_s: How old attempts like it usually get.
        crowd: How many attempts are under way, this one too.
        oldest_s: Where that is only guessed: how old the oldest got that goes on. Younger ones hardly end before.
        told: The remote tells of the end by itself, so that a look is for the progress and for what was not told.
    """
    alone_s = min(max(abs(usual_s - age_s) / 4, SHORTEST_S), LONGEST_S)
    if told:
        return max(alone_s, min(crowd / TOLD_PER_S, CROWDED_S))
    if oldest_s is not None:
        return max(alone_s, min(max(oldest_s - age_s, crowd / UNKNOWN_PER_S), crowd / FAR_PER_S, CROWDED_S))
    away_s = (usual_s - age_s) / 2 if age_s < usual_s else (age_s - usual_s) / 4
    return max(alone_s, min(max(away_s, crowd / NEAR_PER_S), crowd / FAR_PER_S, CROWDED_S))


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
