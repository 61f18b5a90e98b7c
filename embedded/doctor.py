"""`packshot doctor`: what is missing or broken, and how to mend it."""

import fcntl
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import ProgrammingError

from db import suspicions
from embedded import endpoints, locks, postgres, seaweed, valkey
from embedded.house import REPLACED_BY, House
from embedded.ports import HOST, is_free
from settings import settings
from tasks.remotes import endpoint, wire
from tools import catalog
from tools.errors import Unavailable

PYTHON = (3, 11)
FREE_BYTES = 2 * 2**30
OPEN_FILES = 1024


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    words: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.name:<11} {self.words}"


def examine(data: Path) -> list[Finding]:
    """Look at everything."""
    return [python(), *binaries(), directory(data), user(data), space(data), files(), *running(data), *external(),
            *runpod(), *paid_twice(data)]  # fmt: skip


def python() -> Finding:
    """Look at the version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= PYTHON, f"{version} (3.11 or newer is needed)")


def binaries() -> Iterator[Finding]:
    """Run each server that nobody replaces, for its version: an old C library shows only then."""
    programs: dict[str, tuple[Callable[[], Path], str]] = {
        "valkey": (valkey.binary, "--version"),
        "postgres": (lambda: postgres.installed() / "postgres", "--version"),
        "seaweedfs": (seaweed.binary, "version"),
    }
    for name, (find, option) in programs.items():
        variable = REPLACED_BY[name]
        if os.environ.get(variable):
            yield Finding(name, ok=True, words=f"not ours: {variable} is set")
        else:
            yield binary(name, find, option, f"Run make again, or set {variable}.")


def binary(name: str, find: Callable[[], Path], option: str, cure: str) -> Finding:
    """Run one server for its version."""
    try:
        done = subprocess.run([find(), option], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603 - ours
    except (Unavailable, StopIteration, OSError, subprocess.SubprocessError) as broken:
        return Finding(name, ok=False, words=f"{broken} {cure}")
    return Finding(name, ok=True, words=done.stdout.splitlines()[0][:70])


def directory(data: Path) -> Finding:
    """Look whether we may write the data directory."""
    there = next(folder for folder in (data, *data.parents) if folder.exists())
    known = data / "secrets.json"
    if os.access(there, os.W_OK | os.X_OK) and (not known.exists() or os.access(known, os.R_OK | os.W_OK)):
        return Finding("data", ok=True, words=str(data))
    owner = there.owner()
    return Finding("data", ok=False, words=f"{data} belongs to {owner}: run as {owner}, or set PACKSHOT_DATA_DIR.")


def user(data: Path) -> Finding:
    """Say as whom PostgreSQL will run, and where."""
    if os.geteuid() != 0:
        return Finding("user", ok=True, words="an ordinary one; every server runs as you")
    where = data if postgres.is_open(data) else f"{postgres.STATE}, as nobody cannot pass through to {data}"
    return Finding("user", ok=True, words=f"root; PostgreSQL runs as nobody, in {where}")


def space(data: Path) -> Finding:
    """Look for room on the disk."""
    there = next(folder for folder in (data, *data.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    return Finding("disk", free >= FREE_BYTES, f"{free / 2**30:.1f} GiB free (2 are needed)")


def files() -> Finding:
    """Look how many files and sockets a process may have open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Finding("open files", soft >= OPEN_FILES, f"{soft} per process (1024 are needed: ulimit -n 4096)")


def running(data: Path) -> Iterator[Finding]:
    """Look at the house that runs on this directory, or whether one could."""
    if is_running(data):
        ports: dict[str, int] = json.loads((data / "ports.json").read_text())
        yield ready(ports["api"])
        return
    yield Finding("running", ok=True, words="no; packshot up starts it")
    for name in ("api_port", "flower_port"):
        port: int = getattr(settings(), name)
        if port and not is_free(port):
            yield Finding(name, ok=False, words=f"{port} is taken: end what uses it, or set {name.upper()}=0.")


def is_running(data: Path) -> bool:
    """Tell whether somebody holds the lock of this directory."""
    try:
        with (data / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def ready(port: int) -> Finding:
    """Ask the API how its house is."""
    url = f"http://{HOST}:{port}/ready"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
    except urllib.error.HTTPError as refused:
        return Finding("running", ok=False, words=f"{url} says: {refused.read().decode()[:500]}")
    except OSError as silent:
        return Finding("running", ok=False, words=f"{url} does not answer ({silent}): it may still be starting.")
    return Finding("running", ok=True, words=f"yes, and ready: http://{HOST}:{port}")


def external() -> Iterator[Finding]:
    """Try to reach the servers that the environment names."""
    standard = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
    for variable in REPLACED_BY.values():
        if url := os.environ.get(variable):
            parts = urlsplit(url)
            host, port = parts.hostname or HOST, parts.port or standard.get(parts.scheme, 5432)
            found = reach(variable, host, port)
            yield found
            if found.ok and parts.hostname and variable in locks.TRIED:
                opens, cure = locks.TRIED[variable]
                yield lock(variable, host, cure, opened=opens(url))


def reach(variable: str, host: str, port: int) -> Finding:
    """Try to connect."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as no:
        return Finding(
            variable, ok=False, words=f"{host}:{port} cannot be reached ({no}): start it, or unset {variable}."
        )
    return Finding(variable, ok=True, words=f"{host}:{port} answers")


def lock(variable: str, host: str, cure: str, *, opened: bool) -> Finding:
    """Say who gets in there; what has no password may be reached from this machine alone."""
    if not opened:
        return Finding(variable, ok=True, words="lets nobody in without the password")
    if locks.is_here(host):
        return Finding(variable, ok=True, words="lets in whoever is on this machine: it has no password")
    words = f"{host} lets in whoever reaches it, without a password: give it one ({cure}), and {variable} the same."
    return Finding(variable, ok=False, words=words)


def paid_twice(data: Path) -> Iterator[Finding]:
    """Count what may have been paid twice, if there is a database to ask."""
    url = settings().database_url.get_secret_value() if os.environ.get("DATABASE_URL") else own_database(data)
    if not url:
        return
    try:
        found = suspicions.count(url)
    except Unavailable:  # which is said elsewhere
        return
    except ProgrammingError:
        yield Finding("paid twice", ok=True, words="not counted yet: packshot migrate makes the table")
        return
    words = ", ".join(f"{what}: {number}" for what, number in sorted(found.items()))
    yield Finding(
        "paid twice", ok=True, words=f"suspected: {words} (table suspicions)" if found else "nothing suspected"
    )


def own_database(data: Path) -> str | None:
    """Say where the database of the house is that runs on this directory."""
    if not is_running(data):
        return None
    ports, secrets = (json.loads((data / f"{name}.json").read_text()) for name in ("ports", "secrets"))
    return House(data, ports, secrets).env({})["DATABASE_URL"]


def runpod() -> Iterator[Finding]:
    """Ask each endpoint at RunPod how it is."""
    for tool, name in settings().endpoints.items():
        if tool not in catalog.TOOLS:
            yield Finding("runpod", ok=False, words=f"there is no tool {tool}: correct RUNPOD_ENDPOINTS.")
            continue
        try:
            said = endpoints.told(name, wire.wait(endpoint.health(name)))
        except Unavailable as error:
            yield Finding("runpod", ok=False, words=f"{tool}: {error}")
        else:
            words = f"{tool} on {name}: workers {said.get('workers')}, jobs {said.get('jobs')}"
            yield Finding("runpod", ok=True, words=words[:150])
    wire.close()
