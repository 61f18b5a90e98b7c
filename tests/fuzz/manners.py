"""What the fuzzer leaves out: to wait for jobs that nobody does, which takes as long as was asked for."""

import re
from typing import Any

import schemathesis


@schemathesis.hook
def map_query(_context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Wait a second at most."""
    if query and re.fullmatch(r"\d+", str(query.get("wait", ""))):
        return {**query, "wait": min(int(query["wait"]), 1)}
    return query


@schemathesis.hook
def map_headers(_context: Any, headers: dict[str, Any] | None) -> dict[str, Any] | None:
    """Do the same for what is preferred."""
    if headers and "wait" in str(headers.get("Prefer", "")).lower():
        return {**headers, "Prefer": "respond-async"}
    return headers
