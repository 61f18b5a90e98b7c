"""What a remote answers when it is asked about an attempt."""

from dataclasses import dataclass

from tools.outcome import Outcome


@dataclass(frozen=True)
class Running:
    """It waits or runs; look again in so many seconds."""

    again_s: float


@dataclass(frozen=True)
class Ended:
    """It has come to this."""

    outcome: Outcome


@dataclass(frozen=True)
class Lost:
    """It is proved dead: a new attempt cannot run beside it."""


Answer = Running | Ended | Lost
