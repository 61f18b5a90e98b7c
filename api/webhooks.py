"""Webhooks that hear of everything: made, changed, tested; and what each was told."""

from uuid import UUID

from flask import Blueprint, Response, jsonify, request

from api.bodies import read_json
from api.jobs import LONGEST_PAGE, check_filters, read_count
from api.tools import read_id as read_job_id
from api.wishes import admit_url
from db import delivery_pages, receivers
from db.receivers import DEFAULT
from tools.errors import InvalidInput
from tools.webhooks import Change, DeliveryNotFound, NewWebhook, Rotation, WebhookNotFound

blueprint = Blueprint("webhooks", __name__, url_prefix="/api/webhooks")

FILTERS = ("status", "job_id", "limit", "cursor")


@blueprint.post("")
def create_webhook() -> Response:
    """Register a webhook; its secret is shown this once."""
    asked = NewWebhook.read(read_json())
    response = jsonify(receivers.add(asked, admit_url(asked.url)))
    response.status_code = 201
    return response


@blueprint.get("")
def list_webhooks() -> Response:
    """List the webhooks that are registered."""
    return jsonify({"data": receivers.show_all()})


@blueprint.get("/<webhook_id>")
def get_webhook(webhook_id: str) -> Response:
    """Show a webhook, but for its secret."""
    return jsonify(receivers.show_one(read_id(webhook_id)))


@blueprint.patch("/<webhook_id>")
def change_webhook(webhook_id: str) -> Response:
    """Change a webhook."""
    wanted = Change.read(read_json())
    host = admit_url(wanted.url) if wanted.url else None
    return jsonify(receivers.change(read_own_id(webhook_id), wanted, host))


@blueprint.delete("/<webhook_id>")
def delete_webhook(webhook_id: str) -> tuple[str, int]:
    """Delete a webhook, and the log of what it was told."""
    receivers.remove(read_own_id(webhook_id))
    return "", 204


@blueprint.post("/<webhook_id>/rotate")
def rotate_secret(webhook_id: str) -> Response:
    """Give a webhook a new secret, shown this once; the old one signs beside it for a while."""
    body = Rotation.read(read_json(or_nothing=True))
    return jsonify(receivers.rotate(read_id(webhook_id), body.overlap_seconds))


@blueprint.post("/<webhook_id>/test")
def send_test(webhook_id: str) -> Response:
    """Send an event that means nothing."""
    response = jsonify(delivery_pages.send_test(read_own_id(webhook_id)))
    response.status_code = 202
    return response


@blueprint.get("/<webhook_id>/deliveries")
def list_deliveries(webhook_id: str) -> Response:
    """List what a webhook was told, the newest first."""
    check_filters(FILTERS)
    status, job_id = request.args.get("status"), request.args.get("job_id")
    if status is not None and status not in delivery_pages.STATUSES:
        raise InvalidInput.at("status", f"there is no such status; there are {', '.join(delivery_pages.STATUSES)}.")
    limit = read_count("limit", 50, LONGEST_PAGE, smallest=1)
    page = delivery_pages.read_list(
        read_id(webhook_id), status=status, job_id=read_job_id(job_id) if job_id else None,
        cursor=request.args.get("cursor"), limit=limit,
    )  # fmt: skip
    return jsonify(page)


@blueprint.post("/<webhook_id>/deliveries/<delivery_id>/redeliver")
def redeliver(webhook_id: str, delivery_id: str) -> Response:
    """Send a delivery once more, under the same message id."""
    receiver_id = read_id(webhook_id)
    try:
        wanted = UUID(delivery_id)
    except ValueError:
        raise DeliveryNotFound from None
    response = jsonify(delivery_pages.send_again(receiver_id, wanted))
    response.status_code = 202
    return response


def read_id(webhook_id: str) -> UUID:
    """Read a webhook's id; `default` is what signs the webhooks of requests. Raises WebhookNotFound."""
    if webhook_id == "default":
        return DEFAULT
    return read_own_id(webhook_id)


def read_own_id(webhook_id: str) -> UUID:
    """Read the id of a webhook that somebody registered. Raises WebhookNotFound."""
    try:
        found = UUID(webhook_id)
    except ValueError:
        raise WebhookNotFound from None
    if found == DEFAULT:
        raise WebhookNotFound
    return found
