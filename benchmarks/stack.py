"""Servers of our own for one run of the benchmark, and the two APIs on them."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from embedded.house import lived_in
from embedded.ports import Wishes, answers, any_free
from embedded.programs import gunicorn
from embedded.servers import servers as our_servers
from embedded.supervisor import silent, supervised
from tests.conftest import Process, Processes


@contextmanager
def folder() -> Iterator[Path]:
    """Make a data directory, and throw it away."""
    data = Path(tempfile.mkdtemp(prefix="packshot-bench-"))
    data.chmod(0o711)  # root's PostgreSQL runs as nobody
    try:
        yield data
    finally:
        shutil.rmtree(data)


@contextmanager
def servers() -> Iterator[Path]:
    """Run PostgreSQL, Valkey and S3, and name them in the environment of this process; gives a folder for logs."""
    with folder() as data, lived_in(data, Wishes()) as house, supervised(data, silent) as supervisor:
        for name in ("S3_BUCKET", "S3_REGION"):
            os.environ.pop(name, None)
        os.environ.update(house.env({}))
        supervisor.start(*our_servers(house, {}))
        prepare()
        yield house.logs


def prepare() -> None:
    """Make our tables and the bucket."""
    from db import schema  # noqa: PLC0415 - settings are read only now that the environment names the servers
    from storage.bucket import bucket  # noqa: PLC0415 - the same

    schema.upgrade()
    bucket().ensure()


@contextmanager
def processes(logs: Path, name: str) -> Iterator[Processes]:
    """Start programs that surely end, with their logs in a folder of this name."""
    (logs / name).mkdir()
    starter = Processes(logs / name)
    try:
        yield starter
    finally:
        for each in reversed(starter.started):
            each.kill()


def serve(starter: Processes, app: str, env: Mapping[str, str] | None = None) -> int:
    """Serve an app as `packshot up` serves ours; gives its port."""
    port = any_free(set())
    command = [app if part.startswith("api.app:") else part for part in gunicorn(port)]
    started: Process = starter.start("gunicorn", *command, env=env)
    started.wait_for(partial(answers, port), 60)
    return port


def live(starter: Processes) -> None:
    """Run our workers and watcher, and the peer's worker with as many processes as our gpu worker has."""
    from tests.tasks.house import House  # noqa: PLC0415 - settings are read only now that the environment is set

    House(starter)
    command = ("celery", "-A", "benchmarks.peer:celery", "worker", "-c", "2", "-n", "peer@here", "-l", "INFO")
    peer = starter.start(*command)
    peer.wait_for(lambda: "ready." in peer.said(), 60)
