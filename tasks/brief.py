"""What Flower and the logs show of a message: enough to know it again, and neither a prompt nor a signed address."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from settings import settings

#: Characters of a text that are shown, and members of a list or a result.
LONGEST, MOST = 24, 3


def shown(args: Any, kwargs: Any, task_id: str | None) -> dict[str, str]:
    """Say what is shown instead of a message's arguments: first of all where its job is."""
    handed = "".join(f", {shorten(value)}" for value in args or ())
    return {"argsrepr": f"({of_job(task_id)}{handed})", "kwargsrepr": told(kwargs or {})}


def told(given: Mapping[str, Any]) -> str:
    """Write down what was given by name."""
    return f"{{{', '.join(f'{name}={shorten(value)}' for name, value in given.items())}}}"


def of_job(job_id: object) -> str:
    """Say where a job is asked about."""
    return f"{settings().public_url.rstrip('/')}/api/jobs/{job_id}"


def shorten(value: Any) -> str:
    """Write a value down in a few characters; `…` is what cannot be written."""
    try:
        return write(value)
    except (ValueError, RecursionError):  # a canvas must go on, whatever stands in its next message
        return "…"


def write(value: Any) -> str:
    """Write a value down. Raises ValueError and RecursionError: no address, endless digits, no end of lists."""
    match value:
        case {"job_id": job_id}:
            return f"result of {job_id}"
        case Mapping():
            return f"{{{', '.join(map(str, list(value)[:MOST]))}}}"
        case list() | tuple():
            return f"[{', '.join(map(shorten, value[:MOST]))}{', …' if len(value) > MOST else ''}]"
        case str():
            return shorten_text(value)
        case _:
            return str(value)


def shorten_text(text: str) -> str:
    """Cut a text; an address of others is its host alone, as the rest may let in whoever has it."""
    if text.startswith("r2://"):
        return text
    if "://" in text:
        return f"{urlsplit(text).scheme}://{urlsplit(text).hostname}/…"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
