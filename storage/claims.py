"""Who has an attempt, and what it came to: two small objects that a handler writes, and that outlive it.

A claim is written once (`If-None-Match: *`) and never taken from anybody, so an attempt runs once, however often it
was handed over. Whoever takes the claim of an attempt that nobody has begun may be sure that nobody ever will.
"""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.bucket import bucket
from tools.errors import FileNotFound, HandlerFailed
from tools.outcome import Outcome

#: The largest outcome that we read, in bytes.
LARGEST = 64 * 2**20


class Claim(BaseModel):
    """Who has an attempt. An empty `remote_id` is the house itself: then nobody runs it."""

    model_config = ConfigDict(frozen=True)

    remote_id: str
    worker: str
    at: datetime


def take(attempt_id: str, remote_id: str, worker: str) -> Claim:
    """Claim an attempt, or learn who has it: compare the claim's `remote_id`. Raises StorageFailed."""
    mine = Claim(remote_id=remote_id, worker=worker, at=datetime.now(UTC))
    try:
        bucket().put(claim_key(attempt_id), mine.model_dump_json().encode(), if_absent=True)
    except FileExistsError:
        return find(attempt_id) or mine
    return mine


def find(attempt_id: str) -> Claim | None:
    """Find who has an attempt; None if nobody has. Raises StorageFailed."""
    try:
        return Claim.model_validate_json(bucket().read(claim_key(attempt_id), LARGEST))
    except FileNotFound:
        return None


def keep_outcome(attempt_id: str, outcome: Outcome) -> None:
    """Keep what an attempt came to. Raises StorageFailed."""
    bucket().put(outcome_key(attempt_id), outcome.model_dump_json().encode())


def find_outcome(attempt_id: str) -> Outcome | None:
    """Find what an attempt came to, as failed where it cannot be read; None: nothing is known. Raises StorageFailed."""
    try:
        return Outcome.model_validate_json(bucket().read(outcome_key(attempt_id), LARGEST))
    except FileNotFound:
        return None
    except ValidationError as error:  # to look again would not mend it
        unread = HandlerFailed(f"The handler left an outcome that cannot be read: {error.errors()[0]['msg']}.")
        return Outcome(engine="gpu", seconds=0, error=unread.problem())


def claim_key(attempt_id: str) -> str:
    """Say where the claim lies."""
    return f"claims/{attempt_id}"


def outcome_key(attempt_id: str) -> str:
    """Say where the outcome lies."""
    return f"results/{attempt_id}.json"
