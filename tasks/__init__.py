"""A door of a few names: `from tasks import mask` gives the Celery task of that tool."""

from typing import Any

from tools.catalog import TOOLS


def __getattr__(name: str) -> Any:
    if name not in TOOLS:
        raise AttributeError(f"there is no tool {name}; there are {', '.join(TOOLS)}")
    from celery.local import Proxy  # noqa: PLC0415 - only who asks for a task pays for Celery

    from tasks import app, run  # noqa: F401, PLC0415 - the same; run is what makes the tasks

    return Proxy(lambda: app.app.tasks[f"tasks.{name}"])
