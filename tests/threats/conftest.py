"""The app, as the tests of `api` have it."""

from tests.api.conftest import app, client, picture, site, starter, tidy

__all__ = ["app", "client", "picture", "site", "starter", "tidy"]
