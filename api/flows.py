"""Flows: steps with references between them, asked for at once."""

from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, Response, jsonify, request

from api import composing, retrying
from api.bodies import read_json
from api.jobs import LONGEST_PAGE, LONGEST_POLL, check_filters, read_count
from api.preferences import read_preference
from api.submitting import ALONE, AWAITED, waiting
from api.wishes import read_wish
from db import flow_pages
from db.course import AskedFlow
from tools import flow, named, plan
from tools.errors import InvalidInput
from tools.flow import FlowNotFound
from tools.plan import Ready

blueprint = Blueprint("flows", __name__, url_prefix="/api/flows")

STATUSES = ("processing", "completed", "failed", "cancelled")

FILTERS = ("status", "limit", "cursor")


@blueprint.post("")
def create_flow() -> Response:
    """Run a flow; with `?dry_run=true`, only check it and say what it would do."""
    body = named.complete(read_json())
    if read_flag("dry_run"):
        return jsonify(sketch(plan.make(flow.parse(read_wish(body, "flow")[0]))))
    preference = read_preference(0)
    priority = AWAITED if preference.wait_s > 0 else ALONE
    flow_id, replayed = composing.submit("flows", body, lambda: make(body, priority))
    return composing.answer(flow_id, preference, replayed=replayed)


def make(body: dict[str, Any], priority: int) -> AskedFlow:
    """Check a flow, and let its files in."""
    wanted, wish = read_wish(body, "flow")
    parsed = flow.parse(wanted)
    steps = composing.admit(plan.make(parsed), {})
    return AskedFlow(uuid4(), steps, wanted, parsed.name, priority=priority, wish=wish)


def sketch(steps: list[Ready]) -> dict[str, Any]:
    """Say what a flow would do: its steps in their order, and what a job of each usually takes and costs here."""
    composing.check(steps)
    usual = {tool: flow_pages.read_usual(tool) for tool in {ready.tool.name for ready in steps}}
    return {
        "dry_run": True,
        "steps": [
            {
                "id": ready.step.id,
                "tool": ready.tool.name,
                "after": ready.before,
                "jobs": None if ready.spread else len(ready.items),
                "with": ready.items,
                **usual[ready.tool.name],
            }
            for ready in steps
        ],
    }


@blueprint.get("/named")
def list_named() -> Response:
    """List the flows that can be run by their name alone, with the inputs that they need or take."""
    return jsonify({"flows": [vars(each) for each in named.NAMED.values()]})


@blueprint.get("")
def list_flows() -> Response:
    """List flows, the newest first."""
    return show_list("flow")


def show_list(kind: str) -> Response:
    """List flows or batches."""
    check_filters(FILTERS)
    status = request.args.get("status")
    if status is not None and status not in STATUSES:
        raise InvalidInput.at("status", f"there is no such status; there are {', '.join(STATUSES)}.")
    limit = read_count("limit", 50, LONGEST_PAGE, smallest=1)
    return jsonify(flow_pages.read_list(kind, status=status, cursor=request.args.get("cursor"), limit=limit))


@blueprint.get("/<flow_id>")
def get_flow(flow_id: str) -> Response:
    """Show a flow; with `?wait=n`, when it has ended or n seconds are over."""
    return jsonify(waiting().wait(read_id(flow_id), read_count("wait", 0, LONGEST_POLL), flow_pages.read))


@blueprint.post("/<flow_id>/cancel")
def cancel_flow(flow_id: str) -> Response:
    """Cancel a flow; one that has ended stays as it is."""
    shown = flow_pages.read(read_id(flow_id))
    composing.cancel(UUID(shown["flow_id"]))
    return jsonify(flow_pages.read(UUID(shown["flow_id"])))


@blueprint.post("/<flow_id>/retry")
def retry_flow(flow_id: str) -> Response:
    """Run a flow once more as a new one, which keeps every result that the changes do not touch."""
    body, old = read_json(or_nothing=True), read_id(flow_id)
    preference = read_preference(0)
    priority = AWAITED if preference.wait_s > 0 else ALONE
    route = f"flows/{old}/retry"
    made, replayed = composing.submit(route, body, lambda: retrying.make(old, body, priority))
    return composing.answer(made, preference, replayed=replayed)


def read_id(text: str) -> UUID:
    """Read a flow's id. Raises FlowNotFound: what is no id names no flow."""
    try:
        return UUID(text)
    except ValueError:
        raise FlowNotFound from None


def read_flag(name: str) -> bool:
    """Read yes or no from the query."""
    text = request.args.get(name, "false")
    if text not in {"true", "false"}:
        raise InvalidInput.at(name, "give true or false.")
    return text == "true"
