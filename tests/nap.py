"""One more tool, `nap`, which does nothing for a while."""

from pathlib import Path

from pydantic import Field

import gpu_handlers
from tools.catalog import TOOLS
from tools.contract import Limits, Params, Result, Seed, Settings, Tool
from tools.kinds import Image


class Napping(Settings):
    """How long, and how it shall end."""

    seconds: float = Field(0.0, ge=0, le=600, description="Seconds to sleep.")
    fate: str = Field("", description="Empty, or: fail, refuse, starve, swell, overflow, die.")
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
