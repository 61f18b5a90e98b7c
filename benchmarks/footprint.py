"""What the house weighs: seconds to import the API, and memory of the whole stack when idle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks import stack
from benchmarks.report import Figure
from embedded.ports import any_free

IMPORTS = 5
#: Seconds after which a started house has come to rest.
REST_S = 20
TIMED = "import time; began = time.perf_counter(); import api.app; print(time.perf_counter() - began)"
#: With these a server of somebody else would be used, and not be counted.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def measure() -> list[Figure]:
    """Measure both."""
    return [
        Figure("import api.app", median(time_import() for _ in range(IMPORTS)), "s", "<= 0.9"),
        Figure("embedded stack, idle", weigh() / 2**20, "MB PSS", "<= 600"),
    ]


def time_import() -> float:
    """Import the API in a fresh process: seconds."""
    command = [sys.executable, "-c", TIMED]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 - it is ours


def weigh() -> int:
    """Run `packshot up`, let it come to rest, and weigh it: bytes."""
    with stack.folder() as data:
        env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        env |= {"PACKSHOT_DATA_DIR": str(data), "API_PORT": str(any_free(set())), "FLOWER_PORT": str(any_free(set()))}
        with stack.processes(data, "up") as starter:
            up = starter.start("packshot", "up", env=env)
            up.wait_for(lambda: "Packshot is up." in up.said(), 120)
            time.sleep(REST_S)
            weight = sum(pss(process) for process in (up.popen.pid, *descendants(up.popen.pid)))
            up.popen.send_signal(signal.SIGINT)
            up.popen.wait(60)
    return weight


def descendants(process: int) -> list[int]:
    """Find all processes below one."""
    children = [
        int(word)
        for task in Path(f"/proc/{process}/task").iterdir()
        for word in (task / "children").read_text().split()
    ]
    return [each for child in children for each in (child, *descendants(child))]


def pss(process: int) -> int:
    """Read a process's share of the memory: bytes, with shared pages divided among those who share them."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
