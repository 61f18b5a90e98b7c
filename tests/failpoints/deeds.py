"""What is asked for while a fault is met: each tool alone, a chain of five, a chord. Each job bears a mark."""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import requests
from celery import chain, chord

from tests.api.asking import post
from tests.rig import app

logger = logging.getLogger(__name__)

#: The tools that HTTP takes as jobs; templates are resolved there at once.
OVER_HTTP = ("nap", "long nap", "train", "generate", "mask", "inpaint", "video")

#: The real arrow from a template to a film.
FIVE = ("resolve_template", "generate", "mask", "inpaint", "video")

#: Seconds between two looks of the client.
LOOK_S = 0.03

#: Tries of a caller who gets no answer, and seconds between two.
TRIES, AGAIN_S = 100, 0.2


@dataclass(frozen=True)
class World:
    """What is there to work with."""

    site: str
    model_id: int
    template_id: str
    picture: str
    photos: str
    masked: str


def given(tool: str, mark: str, world: World) -> dict[str, Any]:
    """Say all that a tool is told."""
    handed: dict[str, dict[str, Any]] = {
        "train": {"images": world.photos, "trigger_word": "TOK_BAG", "steps": 5, "resolution": 256},
        "generate": {"prompt": "TOK_BAG on a table"},
        "mask": {"image_url": world.picture},
        "inpaint": {"scene_url": world.masked},
        "video": {"image_url": world.picture},
    }
    return own(tool, mark, world) | handed.get(tool, {})


def own(tool: str, mark: str, world: World) -> dict[str, Any]:
    """Say what a tool in a canvas is told beside what is handed to it."""
    seed = {"seed": int(mark)}
    told: dict[str, dict[str, Any]] = {
        "nap": seed,
        "long nap": {"seconds": 3.5, **seed},
        "train": {"model_name": f"Bag {mark}"},
        "resolve_template": {"template_id": world.template_id, "trigger_word": f"TOK_{mark}"},
        "generate": {"model_id": world.model_id, "width": 256, "height": 256, **seed},
        "mask": {"object_name": "handbag", "mask_dilation": 4, "mask_blur": 4, **seed},
        "inpaint": {"reference_url": world.picture, **seed},
        "video": {"width": 128, "height": 128, "length": 5, **seed},
    }
    return told[tool]


def canvas(deed: str, mark: str, world: World) -> Any:
    """Make what Python sends; the jobs bear the mark and their number."""
    match deed:
        case "chain":
            return chain(*(task(tool).s(**own(tool, f"{mark}{n:02}", world)) for n, tool in enumerate(FIVE)))
        case "chord":
            naps = [task("nap").s(seed=int(f"{mark}{n:02}"), seconds=seconds) for n, seconds in enumerate((0, 0.5, 0))]
            return chord(naps, task("nap").s(seed=int(f"{mark}03"), image_url="${1.r2_path}"))
        case "slow chord":
            naps = [task("nap").s(seed=int(f"{mark}{n:02}"), seconds=seconds) for n, seconds in enumerate((0, 0, 1.5))]
            return chord(naps, task("nap").s(seed=int(f"{mark}03"), image_url="${1.r2_path}"))
        case tool:
            return task(tool).s(**given(tool, f"{mark}00", world))


def count(deed: str) -> int:
    """Say how many jobs a deed has."""
    return {"chain": len(FIVE), "chord": 4, "slow chord": 4}.get(deed, 1)


def task(tool: str) -> Any:
    """Find the task of a tool."""
    return app.tasks[f"tasks.{tool}"]


def serve(folder: Path) -> None:
    """Send what is asked for by files in a folder: as a process that may be killed amid."""
    logger.info("sending")
    while True:
        for asked in folder.glob("*.ask"):
            deed, mark, world = json.loads(asked.read_text())
            asked.unlink()
            try:
                canvas(deed, mark, World(**world)).apply_async()
            except Exception:
                logger.exception("%s %s could not be sent", deed, mark)
        sleep(LOOK_S)


def ask(tool: str, mark: str, world: World) -> None:
    """Ask over HTTP as a client should: with a key, again and again until there is an answer."""
    route = "train" if tool == "train" else f"{tool.removeprefix('long ')}/async"
    told: Mapping[str, Any] = given(tool, f"{mark}00", world)
    for _ in range(TRIES):
        with suppress(requests.RequestException):
            answer = post(f"{world.site}/api/{route}", told, Idempotency_Key=mark)
            if answer.status_code < 500:
                assert answer.status_code == 202, answer.text
                return
        sleep(AGAIN_S)
    raise AssertionError(f"{tool} {mark} was never taken in")


def cancel(job_id: str, world: World) -> None:
    """Cancel a job, again and again until there is an answer."""
    for _ in range(TRIES):
        with suppress(requests.RequestException):
            answer = requests.post(f"{world.site}/api/jobs/{job_id}/cancel", timeout=20)
            if answer.status_code == 200:
                return
        sleep(AGAIN_S)
    raise AssertionError(f"{job_id} could not be cancelled")
