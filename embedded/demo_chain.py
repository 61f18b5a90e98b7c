"""The second run of the demo: the same as a Celery chain, from Python. The environment must name the house."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import chain
from celery.exceptions import TimeoutError as WaitedTooLong
from kombu.exceptions import OperationalError

from db import pages
from db.jobs import ENDED
from embedded.demo_report import Report, Step
from embedded.demo_script import Script
from storage.address import parse
from storage.bucket import bucket
from storage.door import take_archive, take_picture
from tasks import generate, inpaint, mask, resolve_template, train, video
from tools.errors import Unavailable, recall

#: The run's name, in the names of its steps.
RUN = "celery"
TOOLS = ("train", "resolve_template", "generate", "mask", "inpaint", "video")
LOOK_S = 0.2

#: Seconds that an ended chain has to hand over its result.
PATIENCE_S = 60


def run(report: Report, template_id: str, script: Script, alive: Callable[[], object]) -> None:
    """Do the main job.

    Args:
        report: Where each step is noted.
        template_id: The template to resolve.
        script: What is asked of each tool.
        alive: Raises when the house has come down, so that nobody waits for it.
    """
    flow = chain(
        train.s(images=take_photos(script), **script.ask("train")),
        resolve_template.s(template_id=template_id),
        generate.s(**script.ask("generate")),
        mask.s(**script.ask("mask")),
        inpaint.s(reference_url=take_picture(script.product.reference), **script.ask("inpaint")),
        video.s(**script.ask("video")),
    )
    try:
        result = flow.apply_async()
        for tool, job_id in zip(TOOLS, reversed(list(job_ids(result))), strict=True):
            with report.step(RUN, tool) as step:
                take(step, wait(step, UUID(job_id), alive))
        result.get(timeout=PATIENCE_S)
    except (OperationalError, WaitedTooLong) as away:
        raise Unavailable(f"Celery did not carry the chain to its end: {away}.") from away


def take_photos(script: Script) -> str:
    """Bring the photos into the bucket, through the same door as an upload."""
    with tempfile.NamedTemporaryFile(prefix="packshot-", suffix=".zip") as packed:
        packed.write(script.zip_photos())
        packed.flush()
        return take_archive(Path(packed.name), script.product.trigger_word)


def job_ids(last: Any) -> Iterator[str]:
    """Walk a chain's results from the last to the first: the id of each is its job's."""
    while last is not None:
        yield last.id
        last = last.parent


def wait(step: Step, job_id: UUID, alive: Callable[[], object]) -> dict[str, Any]:
    """Look at a job until it has ended. Raises what it has failed with."""
    while (job := pages.read(job_id))["status"] not in ENDED:
        step.tell(job["stage"] or job["status"], job["progress"] or 0.0)
        alive()
        time.sleep(LOOK_S)
    if job["error"]:
        raise recall(job["error"])
    return job


def take(step: Step, job: dict[str, Any]) -> None:
    """Read the file that a job left, if its tool leaves one."""
    if job["tool"] == resolve_template.tool.name:
        return
    result = job["result"]
    step.path = result.get("image_url") or result.get("video_url") or f"/api/models/{result['model_id']}"
    to = step.expect(result)
    step.check(bucket().download(parse(str(step.r2_path)).key, to), job)
