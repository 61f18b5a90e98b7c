"""All programs of a run as real processes, each started again when it was killed: on its port, with its data."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen
from threading import Event, Lock, Thread

from embedded import guard, orphans, programs
from embedded.child import Child
from embedded.house import House
from embedded.logs import Log
from embedded.ports import HOST, answers, any_free
from embedded.servers import servers
from embedded.supervisor import Running, Supervisor, silent, spawn
from tests.canaries import HOOKS
from tests.chaos.chores import DIARY
from tests.gateway.routes import KEY

ROOT = Path(__file__).parents[2]

SERVERS = ("valkey", "postgres", "seaweedfs", "gateway")

#: How many attempts our own queue does at once.
PROCESSES = 4


class Part:
    """One program, and whoever starts it again."""

    def __init__(
        self, child: Child, log: Path, mark: Mapping[str, str], tell_guard: Callable[[Popen[bytes]], None]
    ) -> None:
        self.child, self.log, self.mark, self.tell_guard = child, log, mark, tell_guard
        self.over, self.back_at = Event(), 0.0
        self.process = self.launch()
        self.keeper = Thread(target=self.keep, name=f"keeper of {child.name}", daemon=True)
        self.keeper.start()

    def launch(self) -> "Popen[bytes]":
        """Start it."""
        self.child.prepare()
        process = spawn(self.child, self.log, self.mark)
        self.tell_guard(process)
        return process

    def keep(self) -> None:
        """Start it again whenever it has ended."""
        while not self.over.is_set():
            self.process.wait()
            guard.tell(-self.process.pid, signal.SIGKILL)  # a killed parent leaves its children
            self.over.wait(max(0.0, self.back_at - time.monotonic()))
            if not self.over.is_set():
                self.process = self.launch()

    def kill(self, down_s: float) -> None:
        """Kill it; it comes back after so many seconds."""
        self.back_at = time.monotonic() + down_s
        if self.child.name == "postgres":  # its children end by themselves, when they see that it is gone
            guard.tell(self.process.pid, signal.SIGKILL)
        else:
            guard.tell(-self.process.pid, signal.SIGKILL)

    def family(self) -> list[int]:
        """Find its process and all that came of it."""
        found = [self.process.pid]
        for pid in found:
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(word) for word in read(path).split()]
        return found


def tell(processes: Iterable[int], number: int) -> None:
    """Send a signal to each of these processes."""
    for process in processes:
        guard.tell(process, number)


def read(path: Path) -> str:
    """Read what the kernel says of a process, which may be gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


@dataclass
class Town:
    """The parts by name, and the environment that reaches them."""

    house: House
    env: dict[str, str]
    ports: Mapping[str, int]
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def api(self) -> str:
        """Where the API is reached."""
        return f"http://{HOST}:{self.ports['api']}"

    @property
    def gateway(self) -> str:
        """Where RunPod is reached."""
        return f"http://{HOST}:{self.ports['gateway']}/v2"

    def is_up(self, name: str) -> bool:
        """Tell whether a part does its work."""
        part = self.parts[name]
        return part.process.poll() is None and part.child.ready()

    def wait(self, *names: str, patience_s: float = 90) -> None:
        """Wait until parts do their work."""
        until = time.monotonic() + patience_s
        while not all(self.is_up(name) for name in names):
            if time.monotonic() > until:
                raise TimeoutError(f"not up after {patience_s:g} s: {[name for name in names if not self.is_up(name)]}")
            time.sleep(0.1)


@contextmanager
def lived_in(house: House, kept: Path) -> Iterator[Town]:
    """Run the servers, then our programs; all of them end with the block, or with this process."""
    ports = {**house.ports, "gateway": any_free(set(house.ports.values()))}
    town = Town(house, surroundings(house, ports, kept), ports)
    supervisor, lock = Supervisor(house.data, silent), Lock()

    def tell_guard(child: Child, process: "Popen[bytes]") -> None:
        with lock:
            supervisor.tell_guard(Running(child, process, Log(house.logs / "none")), signal.SIGKILL)

    def start(*children: Child) -> None:
        for child in children:
            log, mark = kept / f"{child.name}.log", {orphans.MARK: str(house.data)}
            town.parts[child.name] = Part(child, log, mark, partial(tell_guard, child))
        town.wait(*(child.name for child in children))

    try:
        start(*servers(house, {}))
        os.environ.update(town.env)
        prepare()
        start(*ours(town, kept))
        yield town
    finally:
        for part in town.parts.values():
            part.over.set()
        for part in town.parts.values():
            tell(part.family(), signal.SIGKILL)
        supervisor.stop()
        orphans.end(house.data)


def prepare() -> None:
    """Make our tables and the bucket."""
    from db import schema  # noqa: PLC0415 - settings are read only now that the environment names the servers
    from storage.bucket import bucket  # noqa: PLC0415 - the same

    schema.upgrade()
    bucket().ensure()


def surroundings(house: House, ports: Mapping[str, int], kept: Path) -> dict[str, str]:
    """Make the environment of all."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "S3_", "AWS_"))}
    api = f"http://{HOST}:{ports['api']}"
    return {
        **inherited, **house.env({}), DIARY: str(kept / "diary.jsonl"), "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "", "PYTHONWARNINGS": "ignore:You're running the worker", "MALLOC_ARENA_MAX": "2",
        "RUNPOD_API_KEY": KEY, "RUNPOD_ENDPOINTS": "far=far-endpoint", "RUNPOD_POD_ID": "a worker of theirs",
        "RUNPOD_BASE_URL": f"http://{HOST}:{ports['gateway']}/v2", "PUBLIC_URL": api,
        "HOOK_SECRET": HOOKS, "WEBHOOK_HOSTS": HOST,
    }  # fmt: skip


def ours(town: Town, kept: Path) -> list[Child]:
    """List our programs, and RunPod."""
    python = partial(child, town)
    serve = ["tests.chaos.served:create_app()" if part.startswith("api.app:") else part
             for part in programs.gunicorn(town.ports["api"])]  # fmt: skip
    return [
        python("gateway", "tests.chaos.gateway", str(town.ports["gateway"]), str(kept / "ledger.jsonl"),
               ready=partial(answers, town.ports["gateway"])),
        *(worker(town, kept, f"main{n}", "-Q", "main,resume", *programs.MAIN) for n in (1, 2)),
        worker(town, kept, "gpu", "-Q", "gpu", "-P", "prefork", "-c", str(PROCESSES), "--disable-prefetch",
               "--without-gossip", "--without-mingle"),
        *(python(name, "tests.chaos.rig", ready=partial(programs.says, kept / f"{name}.log", "watching as"))
          for name in ("watch1", "watch2")),
        python("api", "gunicorn", *serve, ready=partial(programs.healthy, town.ports["api"])),
    ]  # fmt: skip


def child(town: Town, name: str, module: str, *arguments: str, ready: Callable[[], bool]) -> Child:
    """Describe one of our programs."""
    return Child(name, (sys.executable, "-m", module, *arguments), town.env, ROOT, ready=ready)


def worker(town: Town, kept: Path, name: str, *options: str) -> Child:
    """Describe a worker."""
    node = f"{name}@here"
    arguments = ("-A", "tests.chaos.rig", "worker", "-n", node, "-l", "INFO", *options)
    return child(town, name, "celery", *arguments, ready=partial(programs.says, kept / f"{name}.log", f"{node} ready"))
