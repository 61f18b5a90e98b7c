"""The app, as the tests of `api` have it."""

from tests.api.conftest import app, client, no_new_job, picture, site, starter, tidy

__all__ = ["app", "client", "no_new_job", "picture", "site", "starter", "tidy"]
