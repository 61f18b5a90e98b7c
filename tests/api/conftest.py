"""The app in this process, and the app under gunicorn as it runs in earnest."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.app import create_app
from db.base import transaction
from storage.bucket import bucket
from storage.door import take_picture
from tasks.app import app as celery
from tests import rig
from tests.api.asking import count_jobs, paint, serve
from tests.conftest import Processes


@pytest.fixture(scope="module", autouse=True)
def tidy(database: str, s3: object) -> Iterator[None]:  # noqa: ARG001 - they must run
    """Leave no job and no message to the workers of other tests."""
    bucket.cache_clear()
    yield
    celery.control.purge()
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, models CASCADE"))


@pytest.fixture(scope="session")
def app(database: str, s3: object) -> Flask:  # noqa: ARG001 - they must run
    assert rig.NAP
    return create_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Start programs that end with the module."""
    processes = Processes(tmp_path_factory.mktemp("api"))
    yield processes
    processes.end()


@pytest.fixture(scope="module")
def site(database: str, s3: object, starter: Processes) -> str:  # noqa: ARG001 - they must run
    """Run the app under gunicorn; give where it is reached."""
    return serve(starter)


@pytest.fixture(scope="session")
def picture(database: str, s3: object) -> str:  # noqa: ARG001 - they must run
    """Give the r2:// address of a picture in the bucket."""
    return take_picture(paint())


@pytest.fixture
def no_new_job() -> Iterator[None]:
    """Hold that no job comes of what the test does."""
    before = count_jobs()
    yield
    assert count_jobs() == before
