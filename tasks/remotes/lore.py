"""What this process has learned of attempts at RunPod: how long each tool takes, and how many are under way."""

from collections import defaultdict, deque
from collections.abc import Iterable
from statistics import median
from time import monotonic

from db import crowd, runs

#: Seconds for which is believed what the database told: of a tool, and of the number of attempts under way.
TOOL_S, COUNT_S = 60.0, 5.0

#: Ends of a tool of which the median is taken.
SAMPLE = 20


class Lore:
    """Asks the database seldom, also where that knew nothing: to find out that nobody does reads a whole table."""

    def __init__(self) -> None:
        self.told: dict[str, float | None] = {}
        self.seen: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=SAMPLE))
        #: How old the oldest attempt of a tool got that went on when it was last heard of.
        self.oldest_s: dict[str, float] = defaultdict(float)
        self.asked_at: dict[str, float] = {}
        self.under_way = 1

    def learn(self, tools: Iterable[str]) -> None:
        """Ask the database what was not asked of late."""
        for tool in tools:
            if self.is_old(tool, TOOL_S):
                self.told[tool] = runs.usual_s(tool)
        if self.is_old("", COUNT_S):
            self.under_way = crowd.count()

    def is_old(self, what: str, seconds: float) -> bool:
        """Tell whether something was last asked longer ago, and take it for asked now."""
        old = monotonic() - self.asked_at.get(what, -seconds) >= seconds
        if old:
            self.asked_at[what] = monotonic()
        return old

    def see(self, tool: str, age_s: float) -> None:
        """Learn from an end how old attempts get: sooner than the database would tell."""
        self.seen[tool].append(age_s)

    def meet(self, tool: str, age_s: float) -> None:
        """Learn from one that goes on how old attempts get at least."""
        self.oldest_s[tool] = max(self.oldest_s[tool], age_s)

    def usual_s(self, tool: str) -> float | None:
        """Say how long a tool takes as of late, in seconds; None if nobody knows."""
        return median(self.seen[tool]) if self.seen[tool] else self.told.get(tool)


lore = Lore()
