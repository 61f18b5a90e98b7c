"""The house with one more tool, `nap`, and with tasks that are not ours: what tests and benchmarks run."""

from pathlib import Path
from typing import Any

from celery.local import Proxy
from pydantic import Field

import gpu_handlers
from tasks import run, watch  # noqa: F401 - run is what makes a task of each tool
from tasks.app import app
from tools.catalog import TOOLS
from tools.contract import Limits, Params, Result, Seed, Settings, Tool
from tools.kinds import Image


class Napping(Settings):
    """How long, and how it shall end."""

    seconds: float = Field(0.0, ge=0, le=600, description="Seconds to sleep.")
    fate: str = Field("", description="Empty, or: fail, die, lie.")
    seed: Seed = None


class NapParams(Napping, Params):
    """What nap is told."""

    image_url: Image | None = Field(None, description="A picture from the step before.")


class NapResult(Result):
    """What nap answers."""

    success: bool = True
    image_url: str
    r2_path: Image
    nap_params: Napping
    duration_seconds: float


#: The variable that names the file in which each run of the handler leaves a line: a witness beside our own tables.
DIARY = "NAP_DIARY"

NAP = Tool("nap", "Do nothing for a while.", NapParams, NapResult, files="naps", limits=Limits(max_in_flight=40))

TOOLS[NAP.name] = NAP
gpu_handlers.__path__.append(str(Path(__file__).parent / "rigged"))
nap: Any = Proxy(lambda: app.tasks["tasks.nap"])


@app.task(name="foreign.pass_on")
def pass_on(*handed: Any) -> Any:
    """Hand on what comes, as any task of a user might."""
    return handed[0] if len(handed) == 1 else list(handed)


@app.task(name="foreign.fail")
def fail(*_: Any) -> None:
    """Fail, as any task of a user might."""
    raise ValueError("a task of yours failed")


@app.task(name="foreign.note")
def note(*handed: Any, key: str) -> Any:
    """Write down in Redis that this ran, and with what."""
    client: Any = app.backend.client  # type: ignore[attr-defined]  # it is Redis
    client.rpush(key, repr(handed))
    return handed[0] if handed else None


if __name__ == "__main__":
    watch.main()
