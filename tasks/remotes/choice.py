"""Which remote does what."""

from db.traces import Attempt
from settings import settings
from tasks.remotes import queue, runpod
from tasks.remotes.remote import Remote
from tools import catalog


def endpoint_of(tool: str) -> str | None:
    """Name the RunPod endpoint of a tool; None: our own queue does it."""
    return settings().endpoints.get(tool)


def remote_of(attempt: Attempt) -> Remote:
    """Give the remote that an attempt was begun for, whatever the settings say by now."""
    return runpod if attempt.endpoint else queue


def check() -> None:
    """Hold the settings against the catalog. Raises InvalidInput for a misspelt tool, which would stay on our queue."""
    for tool in settings().endpoints:
        catalog.find(tool)
