"""Take a job in, and answer for it."""

import logging
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from flask import Response, current_app, jsonify

from api import callers, problems
from api.preferences import Preference, read_key
from api.waiting import Waiting
from api.wishes import read_wish
from db import intake, life, pages
from db.base import transaction
from db.intake import Asked
from db.jobs import ENDED
from storage.door import admit
from tasks.app import sender
from tools.binding import bind
from tools.contract import Params, Tool
from tools.errors import Unavailable, recall

logger = logging.getLogger(__name__)

#: Somebody waits for this job / nobody does. The lower goes first.
AWAITED, ALONE = 0, 1


def submit(
    tool: Tool, given: dict[str, Any], *, awaited: bool, fingerprint: dict[str, Any] | None = None,
    retry_of: UUID | None = None,
) -> tuple[UUID, bool]:  # fmt: skip
    """Make a job of a request, once for each idempotency key: its id, and whether it was there before.

    Args:
        tool: What is asked for.
        given: The params as they came, and beside them what is said of time and of a webhook.
        awaited: Whether the caller waits for the end.
        fingerprint: What tells this request from others, if that is not `given`.
        retry_of: The job that it does once more.

    Raises:
        InvalidInput, ModelNotFound, ModelNotReady, QuotaReached, …: and nothing was made.
        Unavailable: the database or the bucket is down, and nothing was made.
    """
    key = read_key(tool.name, fingerprint or given)
    if key and (known := intake.find_key(key)):
        return known, True
    wanted, wish = read_wish(given)
    told, deadlines = tool.part(wanted)
    params = check(tool, told).model_dump(mode="json")
    priority = AWAITED if awaited else ALONE
    asked = Asked(uuid4(), tool, wanted, params, priority, deadlines, retry_of, callers.origin(), wish)
    if key:
        job_id, new = intake.accept_once(key, asked)
        if not new:
            return job_id, True
    else:
        intake.accept(asked)
    logger.info("job accepted", extra={"job_id": str(asked.id), "tool": tool.name})
    sender.send(asked.id, tool.name, None, given=wanted)
    return asked.id, False


def check(tool: Tool, given: dict[str, Any]) -> Params:
    """Check all that can be checked now, and let the files in."""
    tool.check(given)  # before gaps are looked for: a misspelt field is no missing one
    params = bind(tool, given)
    if any(kind.name in life.IDS for kind in tool.takes.values()):
        with transaction() as session:
            life.look_up(session, tool, params)
    return admit(tool, params).settle()


def answer(job_id: UUID, preference: Preference, *, replayed: bool) -> Response:
    """Answer with the result, if it comes in time; else with where to ask for it."""
    if preference.wait_s <= 0:  # also for a job that has ended: who does not wait, polls
        status = pages.read(job_id)["status"] if replayed else "pending"
        return finish(accepted(job_id, status), job_id, preference, replayed=replayed)
    begun = monotonic()
    try:
        job = waiting().wait(job_id, preference.wait_s)
    except Unavailable as error:  # it was taken in: to send it again would be a second job
        logger.debug("the wait for job %s was cut short: %s", job_id, error)
        return finish(accepted(job_id, "pending"), job_id, Preference(0), replayed=replayed)
    if job["status"] not in ENDED and monotonic() - begun < preference.wait_s:
        preference = Preference(0)  # no place to wait was free
    if job["result"] is not None:
        response = jsonify(job["result"])
    elif job["error"] is not None:
        response = problems.show(recall(job["error"]), job_id=str(job_id))
    else:
        response = accepted(job_id, job["status"])
    response.headers.update({"X-Engine": job["engine"]} if job["engine"] else {})
    response.headers.update({"X-GPU-Seconds": f"{job['gpu_seconds']:g}"} if job["ended_at"] else {})
    return finish(response, job_id, preference, replayed=replayed)


def accepted(job_id: UUID, status: str) -> Response:
    """Say that the job is taken in."""
    response = jsonify({"job_id": str(job_id), "status": status})
    response.status_code = 202
    return response


def finish(response: Response, job_id: UUID, preference: Preference, *, replayed: bool) -> Response:
    """Say in headers what the body has no keys for."""
    response.headers["Location"] = f"/api/jobs/{job_id}"
    response.headers["X-Job-Id"] = str(job_id)
    return heed(response, preference, replayed=replayed)


def heed(response: Response, preference: Preference, *, replayed: bool) -> Response:
    """Say in headers which wishes were heeded."""
    if preference.applied:
        response.headers["Preference-Applied"] = preference.applied
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def waiting() -> Waiting:
    """Find the waiters of this process."""
    found: Waiting = current_app.extensions["waiting"]
    return found
