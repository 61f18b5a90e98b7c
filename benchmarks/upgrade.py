"""Upgrade without downtime: the programs of an older version go on when the schema is ours, and hand over to ours.

`make upgrade` takes the last tag, `make upgrade FROM=commit` any commit: its code is unpacked, and really run.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path

from benchmarks import report, stack
from benchmarks.report import Figure
from tests.conftest import Processes

ROOT = Path(__file__).resolve().parent.parent

#: Jobs that are sent in each part.
JOBS = 20

SEND = "import sys; from tests.rig import nap; [print(nap.delay(seconds=0.2).id) for _ in range(int(sys.argv[1]))]"
HEAD = "from db import schema; print(schema.current())"
MIGRATE = "from db import schema; schema.upgrade(); from storage.bucket import bucket; bucket().ensure()"

PATIENCE_S = 120


def choose() -> str:
    """Say which version to start from. Ends the program if there is none."""
    if asked := os.environ.get("FROM"):
        return asked
    done = git("describe", "--tags", "--abbrev=0")
    if done.returncode:
        sys.exit("There is no tag yet: name a commit, as in make upgrade FROM=HEAD~1.")
    return done.stdout.strip()


def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Ask git."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607 - ours


def unpack(version: str, folder: Path) -> None:
    """Unpack the code of a version."""
    archive = folder.with_suffix(".tar")
    done = git("archive", f"--output={archive}", version)
    if done.returncode:
        sys.exit(f"There is no {version}: {done.stderr.strip()}")
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)  # noqa: S603, S607 - ours


def code(folder: Path) -> dict[str, str]:
    """Make the environment in which the code of a folder runs, whatever lies where we stand."""
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def run(env: Mapping[str, str], *arguments: str) -> str:
    """Run Python with some code, where it lies: Celery looks for its settings in the working directory first."""
    command, told = [sys.executable, "-c", *arguments], {**os.environ, **env}
    done = subprocess.run(  # noqa: S603 - ours
        command, cwd=env["PYTHONPATH"], env=told, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def send(env: Mapping[str, str]) -> list[str]:
    """Send jobs by some code; their ids."""
    return run(env, SEND, str(JOBS)).split()


def main() -> int:
    """Run the whole upgrade, and say what was lost or done twice: nothing may be."""
    version = choose()
    with tempfile.TemporaryDirectory(prefix="packshot-upgrade-") as made, stack.servers() as logs:
        older = Path(made, "older")
        unpack(version, older)
        figures = upgrade(code(older), code(ROOT), logs)
    print(f"From {version}:\n{report.table(figures)}")
    report.write("upgrade", figures)
    return not all(figure.ok for figure in figures)


def upgrade(older: Mapping[str, str], newer: Mapping[str, str], logs: Path) -> list[Figure]:
    """Go from one version to the other while jobs come in."""
    from tests.tasks.house import House  # noqa: PLC0415 - settings are read only now that the environment is set

    start_anew(older)
    with stack.processes(logs, "older") as before, stack.processes(logs, "newer") as after:
        with chdir(older["PYTHONPATH"]):  # Celery looks there first
            old = House(before, env=dict(older))
        sent = send(older)
        run(newer, MIGRATE)
        fits = run(older, HEAD).strip() == "True"
        sent += send(older)
        new = House(after, env=dict(newer))
        sent += [*send(older), *send(newer)]
        stop(before)
        sent += send(newer)
        ended = wait(sent)
        said = [each.said() for each in (*before.started, *after.started)]
        runs = [old.written("began"), new.written("began")]
    return [
        Figure("jobs sent by either version", len(sent), "jobs"),
        Figure("jobs that did not complete", len(sent) - ended, "jobs", "<= 0"),
        Figure("runs of handlers beyond one each", sum(sum(one.values()) for one in runs) - len(sent), "runs", "<= 0"),
        Figure("tracebacks in the logs", sum(text.count("Traceback") for text in said), "", "<= 0"),
        Figure("whether the older code takes the newer schema for fit", float(fits)),
    ]


def start_anew(older: Mapping[str, str]) -> None:
    """Make the tables that the older version knows, and no others: the servers came with ours."""
    from db import schema  # noqa: PLC0415 - settings are read only now that the environment is set

    schema.downgrade()
    run(older, MIGRATE)


def stop(starter: Processes) -> None:
    """Let programs end as an upgrade does: by SIGTERM, with what they have in hand done."""
    for each in starter.started:
        each.popen.terminate()
    for each in starter.started:
        each.popen.wait(PATIENCE_S)


def wait(sent: list[str]) -> int:
    """Wait for the ends of jobs; how many completed."""
    from tests.tasks.house import ENDED, read  # noqa: PLC0415 - settings are read only now that the environment is set

    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and any(read(job_id)["status"] not in ENDED for job_id in sent):
        time.sleep(0.5)
    return sum(read(job_id)["status"] == "completed" for job_id in sent)


if __name__ == "__main__":
    sys.exit(main())
