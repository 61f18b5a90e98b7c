"""`make hooks`: JOBS jobs end while their sender is killed between send and mark; into var/hooks/latest.json."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from db import schema
from tests.conftest import Process, Processes, named, serving
from tests.hooks import rig, trial
from tests.receiver import listening

JOBS, EVERY = int(os.environ.get("JOBS") or 1000), os.environ.get("EVERY") or "50"

#: Seconds that it may take: a lease for each kill, one after the other, is the worst that can be.
PATIENCE_S = 900


def main() -> int:
    """Run it on servers of its own; 1 if anything did not hold."""
    with serving() as env, named(env), listening() as ear, tempfile.TemporaryDirectory() as folder:
        schema.upgrade()
        processes = Processes(Path(folder))

        def start() -> Process:
            told = {rig.EVERY: EVERY, "WEBHOOK_HOSTS": ear.host}
            started = processes.start("python", "-m", "tests.hooks.rig", env=told)
            started.wait_for(lambda: "watching as" in started.said())
            return started

        try:
            figures = trial.run(ear, start, JOBS, PATIENCE_S, wait=True)
        finally:
            processes.end()
    print(report.table(figures))
    print(f"\nwritten to {report.write('hooks', figures)}")
    return 0 if all(one.ok for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
