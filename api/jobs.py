"""Jobs of any tool: list, poll, cancel."""

from flask import Blueprint, Response, jsonify, request

from api.tools import read_id, show_job
from db import pages
from tasks import ending
from tools import catalog
from tools.errors import InvalidInput, UnknownField

blueprint = Blueprint("jobs", __name__, url_prefix="/api/jobs")

STATUSES = ("pending", "processing", "completed", "failed", "cancelled", "expired")

#: What a list can be asked for; a misspelt filter must not show all.
FILTERS = ("tool", "status", "limit", "cursor")

#: The most jobs on a page, and the longest wait of a poll in seconds.
LONGEST_PAGE, LONGEST_POLL = 200, 300


@blueprint.get("")
def list_jobs() -> Response:
    """List jobs, the newest first."""
    if unknown := next((name for name in request.args if name not in FILTERS), None):
        raise UnknownField.at(unknown[:100], f"there is no such filter; there are {', '.join(FILTERS)}.")
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


def read_count(name: str, default: int, largest: int, smallest: int = 0) -> int:
    """Read a number from the query."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and smallest <= int(text) <= largest):
        raise InvalidInput.at(name, f"give a whole number from {smallest} to {largest}.")
    return int(text)
