"""The API with the points in it, for gunicorn."""

from api.app import create_app
from tests.failpoints import rig

__all__ = ["create_app", "rig"]
