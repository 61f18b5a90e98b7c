"""What a caller prefers: to wait, or not; and the key under which a request counts once."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from flask import request

from api.problems import BadRequest
from db.intake import Key

#: The longest wait that a caller can ask for, in seconds.
LONGEST_WAIT_S = 3600

#: RFC 7240, as far as we go.
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.IGNORECASE)
RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)


@dataclass(frozen=True)
class Preference:
    """How long to wait, in seconds, and what to say of it in `Preference-Applied`."""

    wait_s: float
    applied: str | None = None


def read_preference(default_s: float) -> Preference:
    """Read `Prefer`: `wait=n` wins over `respond-async`, as the more exact of the two."""
    header = ", ".join(request.headers.getlist("Prefer"))
    if found := WAIT.search(header):
        seconds = min(int(found[1]), LONGEST_WAIT_S)
        return Preference(seconds, f"wait={seconds}")
    if RESPOND_ASYNC.search(header):
        return Preference(0, "respond-async")
    return Preference(default_s)


def read_key(route: str, given: dict[str, Any]) -> Key | None:
    """Read `Idempotency-Key`, quoted or bare. Raises BadRequest if it is not 1 to 255 printable ASCII characters."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    quoted = len(header) > 1 and header[0] == header[-1] == '"'
    key = header[1:-1] if quoted else header
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise BadRequest("An Idempotency-Key is 1 to 255 printable ASCII characters.")
    canonical = json.dumps(given, sort_keys=True, separators=(",", ":"))
    return Key(route, key, hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest())
