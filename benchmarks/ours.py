"""Our API with the tool that does nothing, for gunicorn: `benchmarks.ours:create_app()`."""

import tests.rig  # noqa: F401 - adds its tool to the catalog before the app makes the routes
from api.app import create_app

__all__ = ["create_app"]
