"""Our own programs, in the order of their start."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from embedded.child import Child, at_once
from embedded.house import House
from embedded.ports import HOST
from settings import Settings

#: Seconds that a worker may need for the task that it has begun; the second Ctrl-C does not wait.
LAST_TASK_S = 600

#: Who tells Prometheus something, and the name of the port: the watcher of the whole house, the API of itself.
METERED = {"watch": "metrics", "api": "api_metrics"}

#: Where models are looked for unless somebody says it.
MODELS = Settings.model_fields["models_dir"].default

#: How the main worker runs.
MAIN = ("-P", "threads", "-c", "16", "--without-gossip", "--without-mingle")


def programs(house: House, given: Mapping[str, str]) -> list[Child]:
    """List what runs beside the servers."""
    env = surroundings(house, given)

    def python(name: str, module: str, *arguments: str, ready: Callable[[], bool] = at_once, **more: object) -> Child:
        bind = METERED.get(name)
        told = {"METRICS_BIND": f"{HOST}:{house.ports[bind]}"} if bind else {}
        # -P and the directory: nothing that happens to lie where the user stands is imported instead of ours.
        command = (sys.executable, "-P", "-m", module, *arguments)
        return Child(name, command, {**env, **told}, house.data, ready=ready, **more)  # type: ignore[arg-type]  # as Child names them

    def worker(name: str, queues: str, *options: str) -> Child:
        node = f"{name}@{os.uname().nodename}"
        arguments = ("-A", "tasks.app", "worker", "-n", node, "-Q", queues, "-l", "INFO", *options)
        ready = lambda: says(house.logs / f"{name}.log", f"{node} ready")  # noqa: E731 - a probe, used once
        return python(name, "celery", *arguments, ready=ready, ready_s=90, stop_s=LAST_TASK_S, first=False)

    return [
        python("migrate", "embedded.cli", "migrate", once=True, ready_s=120),
        worker("worker", "main,resume", *MAIN),
        worker("gpu", "gpu", "-P", "prefork", *processes(given), "--disable-prefetch", "--without-gossip",
               "--without-mingle"),
        python("watch", "embedded.cli", "watch", stop_s=30, first=False),
        python("api", "gunicorn", *gunicorn(house.ports["api"]), ready=lambda: healthy(house.ports["api"]),
               ready_s=90, stop_s=30, first=False),
        python("flower", "embedded.cli", "flower", f"--address={HOST}", f"--port={house.ports['flower']}",
               "--max-tasks=5000", first=False),
    ]  # fmt: skip


def surroundings(house: House, given: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of our programs."""
    return {
        **house.env(given),
        "API_PORT": str(house.ports["api"]),
        "FLOWER_PORT": str(house.ports["flower"]),
        "FLOWER_URL": given.get("FLOWER_URL") or f"http://{HOST}:{house.ports['flower']}",
        "FLOWER_BASIC_AUTH": f"packshot:{house.secrets['flower']}",  # not as an argument: everybody can see those
        "MODELS_DIR": str(Path(given.get("MODELS_DIR") or MODELS).absolute()),  # they stand elsewhere than the user
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # where it is set, each process would compile the whole house anew
        "PYTHONWARNINGS": "ignore:You're running the worker",  # as root, which nobody can change in a container
        "MALLOC_ARENA_MAX": "2",  # threads would each keep memory of their own
    }


def gunicorn(port: int) -> list[str]:
    """Serve the API: a parked thread costs little, and waiting callers each need one."""
    return [
        "api.app:create_app()", f"--bind={HOST}:{port}", "--worker-class=api.reception.Reception", "--workers=1",
        "--threads=400", "--worker-connections=2000", "--timeout=120", "--graceful-timeout=10", "--keep-alive=75",
        "--no-control-socket",
    ]  # fmt: skip


def processes(given: Mapping[str, str]) -> list[str]:
    """Use all cores for the preview; a GPU does one job at a time."""
    return ["-c", "1"] if given.get("ENGINE") == "gpu" else [f"--autoscale={cores()},1"]


def cores() -> int:
    """Count the cores that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def says(log: Path, words: str) -> bool:
    """Tell whether a child has logged these words since its start."""
    return words in log.read_text(errors="replace")


def healthy(port: int) -> bool:
    """Tell whether the API answers."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
    except OSError:
        return False
    return True
