"""The workers and the watcher, as processes, for the tests of this folder; with RunPod or without."""

from collections.abc import Iterator

import pytest

from tests.conftest import Processes
from tests.gateway.far import Far, built
from tests.tasks.house import House


@pytest.fixture(scope="module")
def house(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - they must run
    """Run a main worker, a gpu worker and a watcher."""
    starter = Processes(tmp_path_factory.mktemp("house"))
    yield House(starter)
    starter.end()


@pytest.fixture(scope="module")
def far(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:  # noqa: ARG001 - they must run
    """Run it all with RunPod as the remote, and two workers there."""
    with built(Processes(tmp_path_factory.mktemp("far"))) as far:
        far.hire("w1", "w2")
        yield far
        assert not [said for each in far.house.running.values() if "Traceback" in (said := each.said())]
