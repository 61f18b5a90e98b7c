"""What customers will ask for, and when: drawn from a seed, so that it can be asked for again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Jobs in a chain, and members of a chord before its body.
STEPS, MEMBERS = 5, 3

#: Of a thousand jobs, so many are in chains, and so many chords there are.
CHAINED, CHORDS = 200, 50


@dataclass(frozen=True)
class Step:
    """One job of an order."""

    tool: str
    seconds: float
    fate: str = ""
    #: Beside the params, what its caller says of time.
    timeout_s: int | None = None

    @property
    def ends(self) -> tuple[str, str]:
        """How it shall end when nobody cancels it: status, and the code of its error."""
        if self.fate == "refuse":
            return "failed", "object_not_found"
        if self.timeout_s and self.seconds > self.timeout_s:
            return "failed", "execution_timeout"
        return "completed", ""


@dataclass(frozen=True)
class Order:
    """What one customer asks for, at so many seconds from the start."""

    n: int
    at_s: float
    #: http, python, chain or chord
    form: str
    steps: list[Step]
    #: Over HTTP it bears an Idempotency-Key.
    keyed: bool = False
    cancel_after_s: float | None = None

    def seed(self, attempt: int, step: int) -> int:
        """Give the seed that tells a job of this order from any other."""
        return (self.n * 100 + attempt) * 10 + step

    def kwargs(self, attempt: int, step: int) -> dict[str, Any]:
        """Write down what a job is told."""
        one = self.steps[step]
        told: dict[str, Any] = {"seconds": one.seconds, "fate": one.fate, "seed": self.seed(attempt, step)}
        return {**told, "timeout_seconds": one.timeout_s} if one.timeout_s else told


def of_seed(seed: int) -> tuple[int, int, int]:
    """Read a seed: order, try, step."""
    return seed // 1000, seed // 10 % 100, seed % 10


def draw(seed: int, jobs: int, within_s: float) -> list[Order]:
    """Draw the orders of a run, in the order of their time."""
    chance = random.Random(f"orders {seed}")
    forms = ["chain"] * max(jobs * CHAINED // 1000 // STEPS, 1) + ["chord"] * max(jobs * CHORDS // 1000, 1)
    alone = jobs - sum(STEPS if form == "chain" else MEMBERS + 1 for form in forms)
    forms += ["http"] * (alone * 2 // 3) + ["python"] * (alone - alone * 2 // 3)
    chance.shuffle(forms)
    times = sorted(chance.uniform(0, within_s) for _ in forms)
    return [
        draw_one(chance, n, at_s, form, early=at_s < within_s / 3)
        for n, (at_s, form) in enumerate(zip(times, forms, strict=True))
    ]


def draw_one(chance: random.Random, n: int, at_s: float, form: str, *, early: bool) -> Order:
    """Draw one order."""
    if form in {"chain", "chord"}:
        many = STEPS if form == "chain" else MEMBERS + 1
        return Order(n, at_s, form, [quick(chance) for _ in range(many)])
    cancel = chance.uniform(0, 6) if chance.random() < 0.1 else None
    step = next(odd(chance, early=early), None) or quick(chance)
    return Order(n, at_s, form, [step], form == "http" and chance.random() < 0.4, cancel)


def quick(chance: random.Random) -> Step:
    """Draw a job of some seconds."""
    return Step("far", chance.uniform(0.2, 8)) if chance.random() < 0.6 else Step("near", chance.uniform(0, 1.5))


def odd(chance: random.Random, *, early: bool) -> Iterator[Step]:
    """Draw a job out of the ordinary, now and then: longer than every lease of ours, too long, or in vain."""
    kind = chance.random()
    if kind < 0.08 and early:
        yield Step("far", chance.uniform(35, 70))
    elif kind < 0.12:
        yield Step(chance.choice(["near", "far"]), 30, timeout_s=5)
    elif kind < 0.16:
        yield Step(chance.choice(["near", "far"]), chance.uniform(0, 2), fate="refuse")
