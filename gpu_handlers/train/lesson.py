"""What is learnt at which step: sizes that photos are brought to, and which of them make a batch. Pure arithmetic.

All of it follows from the seed and the number of the step, so that an attempt that goes on in the middle does what
the one before it would have done.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence

#: Pixels that the sides of a picture are multiples of.
GRAIN = 32

#: So many times as long as the other may a side be; of what is longer, the ends are cut off.
SLIMMEST = 4

Size = tuple[int, int]


def fit(width: int, height: int, longest: int) -> Size:
    """Find the size to learn a picture at: its form as nearly as the grain allows, its longer side as asked for."""
    short = longest * min(width, height) / max(width, height)
    other = min(longest, max(longest // SLIMMEST, GRAIN, round(short / GRAIN) * GRAIN)) // GRAIN * GRAIN
    return (longest, other) if width >= height else (other, longest)


def draw(seed: int, sizes: Sequence[Size], batch_size: int, steps: int) -> list[list[int]]:
    """Say for each step which pictures are learnt: of one size each, and each picture as often as any of its size."""
    chance = random.Random(seed)  # noqa: S311 - it is to be repeatable, not secret
    drawn: list[list[int]] = []
    while len(drawn) < steps:
        epoch = list(deal(chance, sizes, batch_size))
        chance.shuffle(epoch)
        drawn += epoch
    return drawn[:steps]


def deal(chance: random.Random, sizes: Sequence[Size], batch_size: int) -> Iterator[list[int]]:
    """Deal all pictures into batches once; the last batch of a size is filled with others of it."""
    for size in sorted(set(sizes)):
        same = [number for number, each in enumerate(sizes) if each == size]
        chance.shuffle(same)
        for first in range(0, len(same), batch_size):
            batch = same[first : first + batch_size]
            yield batch + [same[n % len(same)] for n in range(batch_size - len(batch))]


def seed_of(seed: int, *what: int | str) -> int:
    """Make a seed of its own for a step, or for whatever else wants chance."""
    text = ":".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def curve(losses: Sequence[float], points: int = 100) -> list[tuple[int, float]]:
    """Draw a curve of so many points at most: (step, mean loss of the steps since the last point)."""
    span = max(1, -(-len(losses) // points))
    parts = [losses[first : first + span] for first in range(0, len(losses), span)]
    return [(min((n + 1) * span, len(losses)), sum(part) / len(part)) for n, part in enumerate(parts)]
