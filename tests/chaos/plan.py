"""What shall go wrong, and when: drawn from a seed. Every kind comes, in an order that nobody chose."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Whom a `kill -9` meets; who is named more often is met more often. `child` is one of the gpu worker's processes.
KILLS = (
    "main1", "postgres", "watch1", "gateway", "child", "valkey", "api", "main2", "gpu", "watch2", "seaweedfs",
    "main1", "child", "gateway", "main2", "watch1", "gpu", "api", "main1", "watch2", "valkey", "postgres",
)  # fmt: skip

#: Whom a SIGSTOP meets.
STOPS = ("main1", "valkey", "watch1", "gateway", "postgres", "api", "seaweedfs", "gpu", "main2", "watch2")

#: The shortest and the longest stop, in seconds; of the gpu worker, whose silence of half a minute is its death.
SHORTEST_S, LONGEST_S, LONGEST_GPU_S = 5.0, 30.0, 20.0

#: What RunPod does to callers: (operation, what is wrong, how often).
FAULTS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("run", {"after": True, "drop": True}, 4),  # accepted, and the answer is lost
    ("run", {"status": 429, "headers": {"Retry-After": "2"}}, 8),
    ("run", {"status": 500, "after": True}, 4),
    ("run", {"status": 500}, 4),
    ("run", {"hold_s": 12.0}, 4),  # longer than we wait
    ("run", {"drop": True}, 4),
    ("run", {"status": 200, "body": "{}", "after": True}, 4),
    ("run", {"status": 200, "body": "", "after": True}, 4),
    ("status", {"status": 500}, 12),
    ("status", {"status": 429, "headers": {"Retry-After": "1"}}, 12),
    ("status", {"drop": True}, 12),
    ("status", {"hold_s": 11.0}, 6),
    ("status", {"status": 200, "body": "[]"}, 12),
    ("cancel", {"status": 500}, 6),
    ("cancel", {"drop": True, "after": True}, 6),
)

#: What it does with jobs and webhooks.
TROUBLES = ("early", "forget_waiting", "deaf", "forget_running")
HOOKS = (0, 3, 1)


@dataclass(frozen=True)
class Blow:
    """Something that goes wrong, at so many seconds from the start."""

    at_s: float
    #: kill, stop, flush, disconnect, order, forge
    kind: str
    part: str
    #: For how long a stopped part stands still, or a killed one stays away.
    lasts_s: float = 0.0
    #: What RunPod is told.
    order: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """What it counts as."""
        if self.order:
            return told(self.order)
        return f"{self.kind} {self.part}" if self.kind in {"kill", "stop"} else self.kind


def told(order: dict[str, Any]) -> str:
    """Name an order to RunPod."""
    match order:
        case {"op": op, "fault": fault}:
            what = fault.get("status") or ("stall" if "hold_s" in fault else "drop")
            return f"{op} {what}{' accepted' if fault.get('after') else ''}"
        case {"hooks": hooks}:
            return f"webhooks x{hooks}"
        case _:
            return str(order.get("trouble"))


def draw(seed: int, kills: int, within_s: float) -> list[Blow]:
    """Draw the blows of a run, in the order of their time."""
    chance = random.Random(f"blows {seed}")
    made = [Blow(0, "kill", part, chance.uniform(0, 2)) for part in deal(chance, KILLS, kills)]
    made += [stop(chance, part) for part in deal(chance, STOPS, max(kills // 5, 1))]
    made += [Blow(0, "flush", "valkey")] * max(kills // 20, 1)
    made += [Blow(0, "disconnect", "postgres")] * max(kills // 20, 1)
    made += [Blow(0, "forge", "api")] * max(kills // 10, 1)
    made += [Blow(0, "order", "gateway", order=one) for one in orders(chance, max(kills // 2, 4))]
    return spread(chance, made, within_s)


def stop(chance: random.Random, part: str) -> Blow:
    """Draw a stop of a part."""
    return Blow(0, "stop", part, chance.uniform(SHORTEST_S, LONGEST_GPU_S if part == "gpu" else LONGEST_S))


def orders(chance: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Draw what RunPod is told: half of it faults of calls."""
    for op, fault, times in deal(chance, FAULTS, count // 2):
        yield {"op": op, "fault": fault, "times": times}
    for trouble in deal(chance, TROUBLES, count // 4):
        yield {"trouble": trouble, "times": 2}
    for hooks in deal(chance, HOOKS, count - count // 2 - count // 4):
        yield {"hooks": hooks}


def deal(chance: random.Random, deck: Sequence[Any], count: int) -> list[Any]:
    """Draw so many from a deck, each card once before any comes again."""
    drawn: list[Any] = []
    while len(drawn) < count:
        drawn += chance.sample(deck, len(deck))
    return drawn[:count]


def spread(chance: random.Random, blows: list[Blow], within_s: float) -> list[Blow]:
    """Give each its time: at odd intervals, yet all the time."""
    chance.shuffle(blows)
    step_s = within_s / len(blows)
    times = (step_s * (n + chance.random()) for n in range(len(blows)))
    return [Blow(at_s, one.kind, one.part, one.lasts_s, one.order) for at_s, one in zip(times, blows, strict=True)]
