"""What a receiver reads: the body of a delivery, as things are when it is sent, and the headers that prove it ours."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

from db import flow_pages, models, pages
from db.deliveries import Sending
from db.receivers import name_message
from tools.webhooks import MODEL_READY, PROGRESS, TEST

#: The largest body, in bytes: receivers cut what is much larger.
LARGEST = 20_000

#: What is left out of a body that would be larger, in this order; the address under `urls` has it all.
LEAVE_OUT = ("next", "edges", "changes", "facts", "input", "inputs", "params", "warnings", "steps", "items", "result",
             "error")  # fmt: skip


def write(sending: Sending) -> bytes | None:
    """Write the body; None if it would tell nothing any more."""
    data = read(sending)
    if data is None:
        return None
    happened = sending.created_at.astimezone(UTC).isoformat()
    told = {"type": sending.type, "timestamp": happened, "seq": sending.seq}
    body = encode({**told, "data": data})
    left_out = []
    for name in [name for name in LEAVE_OUT if data.get(name)]:
        if len(body) <= LARGEST:
            break
        left_out.append(name)
        kept = {key: value for key, value in data.items() if key not in left_out}
        body = encode({**told, "data": {**kept, "left_out": left_out}})
    return body


def encode(told: dict[str, Any]) -> bytes:
    """Write JSON as short as can be."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def read(sending: Sending) -> dict[str, Any] | None:
    """Read what it tells of, in the words of the API; None of progress that is over."""
    if sending.type == TEST:
        return {"message": "Somebody asked for this to see whether it arrives."}
    if sending.flow_id:
        return flow_pages.read(sending.flow_id, sending.type.split(".")[0])
    if sending.job_id is None:
        return None
    if sending.type == MODEL_READY:
        return models.show_made_by(sending.job_id)
    job = pages.read(sending.job_id)
    return None if sending.type == PROGRESS and job["status"] != "processing" else job


def address(sending: Sending, body: bytes, at: datetime) -> dict[str, str]:
    """Write the headers: the id, the time of this try, and a signature by each secret."""
    message_id = name_message(sending.id)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign(sending.secrets, message_id, at, body),
    }


def sign(secrets: Sequence[str], message_id: str, at: datetime, body: bytes) -> str:
    """Sign a body; after a rotation by the old secret, too, so that a receiver may change at its leisure."""
    return " ".join(Webhook(secret).sign(message_id, at, body.decode()) for secret in secrets)
