"""The real servers, once per run, for every test that asks for them; a test that does not ask stays pure."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from embedded import guard
from embedded import house as houses
from embedded.ports import Wishes
from embedded.servers import servers as our_servers
from embedded.supervisor import silent, supervised
from settings import settings
from tests import canaries, lookout
from tests.lookout import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]  # pytest finds its hooks by their names here

PATIENCE_S = 30

#: The files that take longest: begun first, so that at the end no core waits for one of them alone.
LONGEST = (
    "failpoints/test_failpoints.py", "chaos/test_small_run.py", "embedded/test_demo.py", "docs/test_blocks.py",
    "tasks/test_restart.py", "tasks/test_recovery.py", "handlers/test_cutout.py", "tasks/test_canvases.py",
    "tasks/test_runpod.py", "tasks/test_runpod_faults.py",
    "threats/test_browser.py",
)  # fmt: skip

#: The environment of somebody whom nobody has told of any server, whatever other tests have set.
NO_SERVERS = {
    "DATABASE_URL": "", "REDIS_URL": "", "S3_ENDPOINT_URL": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
    "API_PORT": "0", "FLOWER_PORT": "0",
}  # fmt: skip

#: Seconds that the programs of a test have to end by themselves.
ENDING_S = 10


#: The variable by which somebody who runs the tests often lends them servers that he has started by `serving`: JSON.
LENT = "PACKSHOT_LENT_SERVERS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    places = {Path(__file__).parent / name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def servers() -> Iterator[Mapping[str, str]]:
    """Run PostgreSQL, Valkey and S3, and name them in the environment; never those of the person who tests."""
    lent = os.environ.get(LENT)
    with nullcontext(json.loads(lent)) if lent else serving() as env, named(env), lookout.listening():
        renew_celery()
        yield env
    settings.cache_clear()


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Run servers, with an empty database and a bucket; give the environment that reaches them."""
    with opened() as data:
        canaries.furnish(data)
        with houses.lived_in(data, Wishes()) as house, supervised(data, silent) as supervisor:
            supervisor.start(*map(lookout.keeping, our_servers(house, {})))
            with named(house.env({})):
                make_bucket()
            yield house.env({})


@contextmanager
def opened() -> Iterator[Path]:
    """Give a folder that every user can pass through to, as root's PostgreSQL runs as nobody.

    Those of pytest are private. What programs wrote there is looked through in the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="packshot-tests-"))
    folder.chmod(0o711)
    yield folder
    lookout.watch.hear_folder(folder)
    shutil.rmtree(folder)


@contextmanager
def named(env: Mapping[str, str]) -> Iterator[None]:
    """Name servers in the environment, and have it read anew."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        for name in ("S3_BUCKET", "S3_REGION"):
            patch.delenv(name, raising=False)
        settings.cache_clear()
        yield


def renew_celery() -> None:
    """Let an app that pytest's collection has already configured read the environment again."""
    if "celeryconfig" in sys.modules:
        from tasks.app import app  # noqa: PLC0415 - pure tests do without it

        app.config_from_object(importlib.reload(sys.modules["celeryconfig"]), force=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user can pass through to."""
    with opened() as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def canaries_are_kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look through what all programs of this process's tests wrote, when the last has ended."""
    yield
    lookout.watch.hear_folder(tmp_path_factory.getbasetemp())


def make_bucket() -> None:
    """Make the bucket of the settings."""
    import boto3  # noqa: PLC0415 - pure tests do without it
    from botocore.config import Config  # noqa: PLC0415 - the same

    s3 = boto3.client(
        "s3",
        endpoint_url=settings().s3_endpoint_url,
        region_name=settings().s3_region,
        aws_access_key_id=settings().aws_access_key_id.get_secret_value(),
        aws_secret_access_key=settings().aws_secret_access_key.get_secret_value(),
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.create_bucket(Bucket=settings().s3_bucket)


@pytest.fixture(scope="session")
def postgres_url(servers: Mapping[str, str]) -> str:
    """Give the URL of an empty PostgreSQL database."""
    return servers["DATABASE_URL"]


@pytest.fixture(scope="session")
def redis_url(servers: Mapping[str, str]) -> str:
    """Give the URL of a Valkey."""
    return servers["REDIS_URL"]


@pytest.fixture(scope="session")
def s3(servers: Mapping[str, str]) -> Mapping[str, str]:
    """Give the environment that reaches the bucket, which exists."""
    return {name: value for name, value in servers.items() if name.startswith(("S3_", "AWS_"))}


@pytest.fixture(scope="session")
def database(postgres_url: str) -> Iterator[str]:
    """Give the URL of a database with our tables."""
    from db import base, schema  # noqa: PLC0415 - pure tests do without it

    schema.upgrade()
    yield postgres_url
    base.engine().dispose()


@pytest.fixture(name="wait_until")
def give_wait_until() -> Callable[..., None]:
    """Give the function that polls: `wait_until(lambda: …)`."""
    return wait_until


def wait_until(true: Callable[[], object], patience_s: float = PATIENCE_S, why: Callable[[], str] = str) -> None:
    """Poll until it is true, or fail and say why."""
    until = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > until:
            pytest.fail(f"waited {patience_s:g} s in vain: {why()}")
        time.sleep(0.02)


@dataclass
class Process:
    """A program under test, in a group of its own."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """Give all that it printed."""
        return self.log.read_text(errors="replace")

    def wait_for(self, true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Poll until it is true; fail, with what the program said, when it is not, or the program has ended."""
        wait_until(lambda: true() or self.popen.poll() is not None, patience_s, self.said)
        if not true():
            pytest.fail(f"ended with {self.popen.returncode}: {self.said()}")

    def kill(self) -> None:
        """End the whole group, as a power cut would."""
        guard.tell(-self.popen.pid, signal.SIGKILL)
        self.popen.wait()


@dataclass
class Processes:
    """Starts programs; the fixture ends them."""

    folder: Path
    started: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Have SIGTERM end us in order: each of them is in a session of its own, and would be left behind."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def start(
        self, *command: str, env: Mapping[str, str] | None = None, user: int | None = None, whole: bool = False
    ) -> Process:
        """Start a program with our environment and what `env` adds; `python` and our own programs are found.

        Only root can start it as another `user`. If `whole`, `env` is all of its environment.
        """
        lookout.watch.hear_env(env or {})
        log = self.folder / f"{len(self.started)}-{Path(command[0]).name}.log"
        beside = Path(sys.executable).parent / command[0]
        program = str(beside) if beside.exists() else command[0]
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                user=user, group=user, extra_groups=None if user is None else [],
                env={**({} if whole else os.environ), "PYTHONUNBUFFERED": "1", **(env or {})},
            )  # fmt: skip
        self.started.append(Process(popen, log))
        return self.started[-1]

    def worker(self, queues: str, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a Celery worker of ours on these queues, and wait until it takes tasks."""
        name = f"{queues.replace(',', '-')}-{len(self.started)}@test"
        started = self.start(
            "celery", "-A", "tasks.app", "worker", "-n", name, "-Q", queues, "-l", "INFO", *options, env=env
        )
        started.wait_for(lambda: f"{name} ready" in started.said())
        return started

    def end(self) -> None:
        """Ask all to end, so that they can write down which lines they ran; kill what does not, and what is left."""
        for each in self.started:
            each.popen.terminate()
        until = time.monotonic() + ENDING_S
        for each in self.started:
            with suppress(subprocess.TimeoutExpired):
                each.popen.wait(max(0.0, until - time.monotonic()))
            each.kill()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Start programs that surely end with the test, as in `processes.worker("main")`."""
    starter = Processes(tmp_path)
    yield starter
    starter.end()
