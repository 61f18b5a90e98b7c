"""Where RunPod tells that a job has ended: an address that only we can make, for each attempt its own."""

import hashlib
import hmac
from uuid import UUID

from settings import settings


def address(attempt_id: UUID) -> str | None:
    """Give the address for an attempt; None where RunPod cannot reach us."""
    public = settings().public_url.rstrip("/")
    return f"{public}/hooks/runpod/{attempt_id}/{sign(attempt_id)}" if public else None


def is_ours(attempt_id: UUID, mark: str) -> bool:
    """Tell whether we made the address, in the same time for every wrong mark."""
    return bool(settings().hook_secret.get_secret_value()) and hmac.compare_digest(
        sign(attempt_id).encode(), mark.encode("utf-8", "surrogateescape")
    )


def sign(attempt_id: UUID) -> str:
    """Make the mark of an attempt."""
    secret = settings().hook_secret.get_secret_value().encode()
    return hmac.new(secret, f"runpod {attempt_id}".encode(), hashlib.sha256).hexdigest()
