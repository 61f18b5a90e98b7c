"""The API with the two chores, for gunicorn."""

from api.app import create_app
from tests.chaos.chores import CHORES

__all__ = ["CHORES", "create_app"]
