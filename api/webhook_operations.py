"""What can be asked of webhooks over HTTP, as a table of operations."""

from collections.abc import Iterator

from api.operations import OBJECT, PAGES, Operation, Schema, schema_of
from db.delivery_pages import STATUSES
from tools.webhooks import Change, NewWebhook, Rotation


def of_webhooks() -> Iterator[Operation]:
    """List the operations of webhooks."""
    one = "/api/webhooks/{webhook_id}"
    filters: dict[str, Schema] = {
        "status": {"enum": list(STATUSES), "description": "Only of this status."},
        "job_id": {"type": "string", "description": "Only those that tell of this job."},
        **PAGES,
    }
    make, told = "Register a webhook; its secret is shown this once.", "List what a webhook was told, the newest first."
    rotate = "Give a webhook a new secret, shown this once; the old one signs beside it for a while."
    yield from (
        Operation("post", "/api/webhooks", "create_webhook", make, {"201": OBJECT}, schema_of(NewWebhook)),
        Operation("get", "/api/webhooks", "list_webhooks", "List the webhooks that are registered.", {"200": OBJECT}),
        Operation("get", one, "get_webhook", "Show a webhook, but for its secret.", {"200": OBJECT}),
        Operation("patch", one, "change_webhook", "Change a webhook.", {"200": OBJECT}, schema_of(Change)),
        Operation("delete", one, "delete_webhook", "Delete a webhook, and the log of what it was told.", {"204": {}}),
        Operation("post", f"{one}/rotate", "rotate_secret", rotate, {"200": OBJECT}, schema_of(Rotation)),
        Operation("post", f"{one}/test", "send_test", "Send an event that means nothing.", {"202": OBJECT}),
        Operation("get", f"{one}/deliveries", "list_deliveries", told, {"200": OBJECT}, query=filters),
        Operation(
            "post", f"{one}/deliveries/{{delivery_id}}/redeliver", "redeliver",
            "Send a delivery once more, under the same message id.", {"202": OBJECT},
        ),
    )  # fmt: skip
