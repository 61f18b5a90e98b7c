"""`make containers`: the house of docker-compose.yml, run from the folders of its images, without Docker.

Each service runs as the file says: by its image's packages and rooms, by its command and environment, asked by its own
health check, as no user in particular, without a capability, on a disk that nobody can write but for /tmp. One job of
each tool is asked for over HTTP. Not proved is what an engine alone has: images of PostgreSQL and Valkey (servers from
wheels stand in), a network for each container, and limits that are enforced.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import errand, report, stack, walls
from benchmarks.report import Figure
from benchmarks.service import Service, environment
from embedded.house import House, lived_in
from embedded.ports import Wishes
from embedded.servers import servers
from embedded.supervisor import silent, supervised
from scripts import images
from tests.conftest import Processes
from tests.deploy import compose

API = "http://127.0.0.1:5000"

#: Where the file says that the servers are, which of ours take the place of images, and of whose passwords.
PORTS = {"postgres": 5432, "valkey": 6379}
PASSWORDS = {"POSTGRES_PASSWORD": "postgres", "VALKEY_PASSWORD": "valkey", "AWS_SECRET_ACCESS_KEY": "s3",
             "FLOWER_PASSWORD": "flower"}  # fmt: skip

#: In a network of its own each could listen at the same port.
ELSEWHERE = {"api": {"METRICS_BIND": "127.0.0.1:9465"}}

#: How Compose is asked to read the file, for each way to start the house.
WAYS = ((), ("--profile", "split"), ("--env-file", "deploy/gpu.env"))

PATIENCE_S = 300


def main() -> int:
    """Make the images' folders and run the house from them, or say why that cannot be done here."""
    print(f"docker compose config: {ask_compose()}", flush=True)
    if why := walls.missing():
        print(f"containers: not checked ({why})")
        return 0
    with tempfile.TemporaryDirectory(prefix="packshot-images-") as made:
        for name in {said["build"]["target"] for said in compose.services().values() if "build" in said}:
            images.make(images.read(), name, Path(made, name))
        return walls.apart(sys.executable, "-m", "benchmarks.containers", made)


def ask_compose() -> str:
    """Have Compose itself read the file, for each way to start the house. Ends the program if it refuses one."""
    try:
        version = run_compose("version", "--short")
        for way in WAYS:
            run_compose(*way, "config", "--quiet")
    except FileNotFoundError:
        return "not checked (there is no docker)"
    except subprocess.CalledProcessError as refused:
        if "config" in refused.cmd:
            sys.exit(f"Compose refuses the file: {refused.stderr}")
        return f"not checked ({refused.stderr.strip().splitlines()[0]})"
    return f"fine, says Compose {version.strip()}"


def run_compose(*arguments: str) -> str:
    """Run Docker's Compose on our file; what it said."""
    command = ["docker", "compose", *arguments]
    return subprocess.run(command, cwd=compose.ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours


def run(made: Path) -> int:
    """Run the house from these folders, in a network where nobody else uses its ports."""
    walls.raise_loopback()
    with house(made) as (known, starter):
        figures = [*prove(known, starter)]
    print(report.table(figures))
    print(f"\nwritten to {report.write('containers', figures)}")
    return not all(figure.ok for figure in figures)


@contextmanager
def house(made: Path) -> Iterator[tuple[dict[str, Service], Processes]]:
    """Run PostgreSQL and Valkey; gives the services that run images of ours, and what starts them."""
    with stack.folder() as data, lived_in(data, Wishes(PORTS)) as ours, supervised(data, silent) as supervisor:
        supervisor.start(*servers(ours, {"S3_ENDPOINT_URL": "http://s3:8333"}))
        with stack.processes(ours.logs, "containers") as starter:
            yield lay_out(made, ours), starter


def lay_out(made: Path, ours: House) -> dict[str, Service]:
    """Give walls to every service of the default profile that runs an image of ours."""
    given = {name: ours.secrets[word] for name, word in PASSWORDS.items()}
    stages = images.read()
    return {
        name: enclose(name, said, stages, made, ours.data)
        for name, said in compose.services(**given).items()
        if said["image"].removeprefix("packshot-") in stages
    }


def enclose(
    name: str, said: Mapping[str, Any], stages: Mapping[str, images.Stage], made: Path, data: Path
) -> Service:  # fmt: skip
    """Give a service its walls. That the file says of each how strong they are, tests/deploy/test_compose.py holds."""
    image = said["image"].removeprefix("packshot-")
    place, volume = data / f"{name}-walls", data / f"{name}-volume" if "volumes" in said else None
    for folder in filter(None, (place, volume)):
        folder.mkdir()
    for part in ("app", "venv"):
        (place / part).symlink_to(made / image / part)
    (tmp,) = said["tmpfs"]
    env = environment(stages[image], {**said["environment"], **ELSEWHERE.get(name, {})}, name)
    return Service(name, said, stages[image], walls.Walls(place, name, tmp.partition(":")[2], volume), env)


def prove(known: Mapping[str, Service], starter: Processes) -> Iterator[Figure]:
    """Start all in their order, have them work, look around in each, and stop them."""
    began = time.monotonic()
    key = start(known, starter)
    living = [one for one in known.values() if one.name != "migrate"]
    yield Figure("seconds until all are healthy", time.monotonic() - began, "s")
    began = time.monotonic()
    done = errand.Errand(API, key, lambda: weigh(living)).run()
    yield Figure("jobs that completed, one of each tool", done, "jobs", f">= {len(errand.FLOW) + 1}")
    yield Figure("seconds for these", time.monotonic() - began, "s")
    yield tell("what `doctor --production` finds wrong", consult(known["migrate"]))
    yield tell("what a service may do beyond the file", [word for one in known.values() for word in one.excess()])
    for one in living:
        yield from stop(one)
    yield tell("refused writes, in all logs", [word for one in known.values() for word in one.complaints()])


def start(known: Mapping[str, Service], starter: Processes) -> str:
    """Start all as they wait for each other; the first key, which `migrate` prints."""
    known["s3"].start(starter)
    wait([known["s3"]])
    migrate = known["migrate"]
    migrate.start(starter)
    if migrate.running.popen.wait(PATIENCE_S):
        sys.exit(f"migrate failed:\n{migrate.running.said()}")
    others = [one for one in known.values() if one.name not in {"s3", "migrate"}]
    for one in others:
        one.start(starter)
    wait(others)
    return migrate.running.said().split()[-1]


def wait(services: Sequence[Service]) -> None:
    """Wait until all are healthy. Ends the program, with what it said, if one does not get so."""
    until = time.monotonic() + PATIENCE_S
    for one in services:
        while not one.is_healthy():
            if time.monotonic() > until or one.running.popen.poll() is not None:
                sys.exit(f"{one.name} does not get healthy:\n{one.running.said()}")
            time.sleep(0.5)


def consult(migrate: Service) -> list[str]:
    """Ask as an operator would, by `docker compose run --rm migrate doctor --production`; what it finds wrong."""
    done = migrate.walls.run(migrate.stage.starting(["doctor", "--production"]), migrate.env)
    return [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("ok ")]


def weigh(services: Sequence[Service]) -> None:
    """See what each has by now."""
    for one in services:
        one.weigh()


def stop(one: Service) -> Iterator[Figure]:
    """Say what a service took at most, and stop it."""
    yield Figure(f"{one.name}: memory with /tmp", one.memory / 2**20, "MB", f"<= {one.limit // 2**20}")
    yield Figure(f"{one.name}: in /tmp", one.tmp / 2**20, "MB")
    yield tell(f"{one.name}: files that a job left in /tmp", one.leftovers())
    yield Figure(f"{one.name}: until it ended", one.stop(), "s", f"<= {one.grace_s:g}")


def tell(name: str, wrong: Iterable[str]) -> Figure:
    """Print what is wrong, and count it: there should be none."""
    found = list(wrong)
    print(*found, sep="\n", end="\n" if found else "", flush=True)
    return Figure(name, len(found), "", "<= 0")


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])) if sys.argv[1:] else main())
