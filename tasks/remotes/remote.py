"""What a remote answers when it is given an attempt, or asked about one."""

from dataclasses import dataclass, field
from typing import Protocol

from db.jobs import Job
from db.runs import Meter, Told
from db.traces import Attempt
from tools.outcome import Outcome


@dataclass(frozen=True)
class Taken:
    """It has the attempt under this id; look in so many seconds."""

    remote_id: str
    again_s: float


@dataclass(frozen=True)
class Running:
    """It waits or runs, or is not to be reached; look again in so many seconds. With what it told of itself."""

    again_s: float
    told: Told | None = None


@dataclass(frozen=True)
class Ended:
    """It has come to this."""

    outcome: Outcome
    meter: Meter = field(default_factory=Meter)


@dataclass(frozen=True)
class Lost:
    """It is proved dead: a new attempt cannot run beside it."""


Answer = Taken | Running | Ended | Lost


class Remote(Protocol):
    """Whatever we hand an attempt to and must ask about."""

    def submit(self, job: Job) -> Answer:
        """Hand the attempt over, or find out who has it; never so that it could run twice."""
        ...

    def look(self, job: Job) -> Answer:
        """Ask how it is."""
        ...

    def cancel(self, attempt: Attempt) -> bool:
        """See to it that an ended attempt stops; False: not yet."""
        ...


def live(job: Job) -> Attempt:
    """Give the attempt that is under way."""
    if job.attempt is None:
        raise LookupError(f"no attempt of job {job.id} is under way")
    return job.attempt
