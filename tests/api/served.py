"""The app with the tool `nap`, for gunicorn."""

from api.app import create_app  # noqa: F401 - `gunicorn tests.api.served:create_app()`
from tests import rig  # noqa: F401 - it adds the tool
