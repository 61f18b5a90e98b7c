"""Jobs of any tool: list, poll, cancel, do again."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import submitting
from api.bodies import read_json
from api.preferences import read_preference
from api.retrying import merge
from api.tools import read_id, show_job
from db import lineage, pages
from tasks import ending
from tools import catalog
from tools.deadlines import Deadlines
from tools.errors import InvalidInput, UnknownField
from tools.refusal import refuse
from tools.webhooks import WEBHOOK, part

blueprint = Blueprint("jobs", __name__, url_prefix="/api/jobs")

STATUSES = ("pending", "processing", "completed", "failed", "cancelled", "expired")

#: What a list can be asked for.
FILTERS = ("tool", "status", "limit", "cursor")

#: The most jobs on a page, and the longest wait of a poll in seconds.
LONGEST_PAGE, LONGEST_POLL = 200, 300


@blueprint.get("")
def list_jobs() -> Response:
    """List jobs, the newest first."""
    check_filters(FILTERS)
    tool, status = request.args.get("tool"), request.args.get("status")
    if tool is not None:
        catalog.find(tool)
    if status is not None and status not in STATUSES:
        raise InvalidInput.at("status", f"there is no such status; there are {', '.join(STATUSES)}.")
    limit = read_count("limit", 50, LONGEST_PAGE, smallest=1)
    return jsonify(pages.read_list(tool=tool, status=status, cursor=request.args.get("cursor"), limit=limit))


@blueprint.get("/<job_id>")
def get_job(job_id: str) -> Response:
    """Show a job; with `?wait=n`, when it has ended or n seconds are over."""
    return show_job(job_id, wait_s=read_count("wait", 0, LONGEST_POLL))


@blueprint.post("/<job_id>/cancel")
def cancel_job(job_id: str) -> Response:
    """Cancel a job; one that has ended stays as it is."""
    ending.cancel(read_id(job_id))
    return show_job(job_id)


@blueprint.get("/<job_id>/lineage")
def get_lineage(job_id: str) -> Response:
    """Show what a job came from, back to the photos, and what came of it."""
    return jsonify(lineage.read(read_id(job_id)))


class Again(BaseModel):
    """What shall be different."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    overrides: dict[str, Any] = Field({}, description="New values of params; null takes one away.")


@blueprint.post("/<job_id>/retry")
def retry_job(job_id: str) -> Response:
    """Run a job once more as a new one, with the params that it really had, but for those that are given here."""
    body, preference = read_json(or_nothing=True), read_preference(0)
    try:
        again = Again.model_validate(part(body)[0])
    except ValidationError as error:
        raise refuse(Again, error) from None
    old = pages.read(read_id(job_id))
    times = {name: old["input"][name] for name in Deadlines.model_fields if name in old["input"]}
    given, _ = merge({**(old["params"] or old["input"]), **times}, again.overrides)
    given |= {WEBHOOK: body[WEBHOOK]} if WEBHOOK in body else {}
    made, replayed = submitting.submit(
        catalog.find(old["tool"]), given, awaited=preference.wait_s > 0, fingerprint={"retry_of": job_id, **body},
        retry_of=UUID(old["job_id"]),
    )  # fmt: skip
    return submitting.answer(made, preference, replayed=replayed)


def check_filters(known: Sequence[str]) -> None:
    """Refuse a filter that there is not: misspelt, it would show all. Raises UnknownField."""
    if (unknown := next((name for name in request.args if name not in known), None)) is not None:
        raise UnknownField.at(unknown[:100], f"there is no such filter; there are {', '.join(known)}.")


def read_count(name: str, default: int, largest: int, smallest: int = 0) -> int:
    """Read a number from the query."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and smallest <= int(text) <= largest):
        raise InvalidInput.at(name, f"give a whole number from {smallest} to {largest}.")
    return int(text)
