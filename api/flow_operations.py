"""What can be asked of flows and batches over HTTP, as a table of operations."""

from collections.abc import Iterator

from api.batches import Batch
from api.flows import STATUSES
from api.operations import OBJECT, PAGES, SUBMIT_HEADERS, WAIT, Operation, Schema, of_events, schema_of, with_webhook
from api.retrying import Retry
from tools.flow import Flow

FLOW: Schema = {"$ref": "#/components/schemas/Flow"}
STARTED: Schema = {
    "type": "object",
    "required": ["flow_id", "status"],
    "properties": {"flow_id": {"type": "string", "format": "uuid"}, "status": {"type": "string"}},
}


def of_flows() -> Iterator[Operation]:
    """List the operations of flows."""
    one = "/api/flows/{flow_id}"
    filters = {**PAGES, "status": {"enum": list(STATUSES), "description": "Only of this status."}}
    dry = {"dry_run": {"type": "boolean", "description": "Check it, say what it would do, and start nothing."}}
    both = {"200": FLOW, "202": STARTED}
    new, retry = with_webhook(schema_of(Flow)), with_webhook(schema_of(Retry))
    text = "Run steps with references between them, in the order that these give."
    again = "Run a flow once more as a new one, and keep every result that the changes do not touch."
    yield from (
        Operation("post", "/api/flows", "create_flow", text, both, new, query=dry, headers=SUBMIT_HEADERS),
        Operation("get", "/api/flows/named", "list_named_flows", "List the flows that run by name.", {"200": OBJECT}),
        Operation("get", "/api/flows", "list_flows", "List flows, the newest first.", {"200": OBJECT}, query=filters),
        Operation("get", one, "get_flow", "Show a flow, or wait for its end.", {"200": FLOW}, query=WAIT),
        of_events("flow", "What happens in a flow: live, or as a list; its jobs, and its end."),
        Operation("post", f"{one}/cancel", "cancel_flow", "Cancel a flow; an ended one stays.", {"200": FLOW}),
        Operation("post", f"{one}/retry", "retry_flow", again, both, retry, headers=SUBMIT_HEADERS),
    )


def of_batches() -> Iterator[Operation]:
    """List the operations of batches."""
    one = "/api/batches/{batch_id}"
    text = "Run one tool for each item, or for each combination of a matrix."
    filters = {**PAGES, "status": {"enum": list(STATUSES), "description": "Only of this status."}}
    both = {"200": OBJECT, "202": OBJECT}
    yield from (
        Operation(
            "post", "/api/batches", "create_batch", text, both, with_webhook(schema_of(Batch)), headers=SUBMIT_HEADERS
        ),
        Operation("get", "/api/batches", "list_batches", "List batches, newest first.", {"200": OBJECT}, query=filters),
        Operation("get", one, "get_batch", "Show a batch, or wait for its end.", {"200": OBJECT}, query=WAIT),
        Operation("post", f"{one}/cancel", "cancel_batch", "Cancel what is left of a batch.", {"200": OBJECT}),
    )
