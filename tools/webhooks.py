"""What a caller may say of webhooks: where events are delivered, and which."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tools.errors import InvalidInput, NotFound, ToolError
from tools.refusal import check_sound, refuse

#: The key beside the params of a request under which its own webhook stands.
WEBHOOK = "webhook"

#: What can happen to a job, to a flow and to a batch.
JOB_ENDS = ("job.completed", "job.failed", "job.cancelled", "job.expired")
PROGRESS = "job.progress"
MODEL_READY = "model.ready"
FLOW_ENDS = ("flow.completed", "flow.failed", "flow.cancelled")
BATCH_ENDS = ("batch.completed", "batch.failed", "batch.cancelled")
EVENTS = (*JOB_ENDS, PROGRESS, *FLOW_ENDS, *BATCH_ENDS, MODEL_READY)

#: The ends of what a request asks for: what its own webhook hears of, unless it says more or less.
ENDS = {"job": JOB_ENDS, "flow": FLOW_ENDS, "batch": BATCH_ENDS}

#: What is sent only when somebody asks for it by the test route.
TEST = "webhook.test"

#: The longest address, in bytes.
LONGEST_URL = 2048

#: Seconds for which deliveries are signed by the old secret, too, after a rotation.
OVERLAP_S, LONGEST_OVERLAP_S = 24 * 3600, 7 * 24 * 3600


class WebhookNotFound(NotFound):
    """There is no webhook with this id: GET /api/webhooks lists them."""

    code = "webhook_not_found"


class DeliveryNotFound(NotFound):
    """There is no delivery with this id: GET /api/webhooks/<id>/deliveries lists them."""

    code = "delivery_not_found"


class WebhookDisabled(ToolError):
    """The webhook is disabled: PATCH it with {"enabled": true} first."""

    code = "webhook_disabled"


def check_events(told: list[str]) -> list[str]:
    """Refuse what is no event of ours; each counts once."""
    if (unknown := next((name for name in told if name not in EVENTS), None)) is not None:
        raise ValueError(f"there is no event {unknown[:40]}; there are {', '.join(EVENTS)}")
    return list(dict.fromkeys(told))


class Strict(BaseModel):
    """What a body of these routes is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @field_validator("events", check_fields=False)
    @classmethod
    def know_events(cls, told: list[str] | None) -> list[str] | None:
        """Refuse what is no event of ours."""
        return None if told is None else check_events(told)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Read a body. Raises InvalidInput."""
        check_sound(body)
        try:
            return cls.model_validate(dict(body))
        except ValidationError as error:
            raise refuse(cls, error) from None


class Webhook(Strict):
    """Where a request wants to hear of its own job, flow or batch."""

    url: str = Field(max_length=LONGEST_URL, description="Where we POST to.")
    events: list[str] | None = Field(None, min_length=1, description="Which events; without it, every end.")


class NewWebhook(Strict):
    """A webhook that hears of all jobs, flows and models."""

    url: str = Field(max_length=LONGEST_URL, description="Where we POST to.", examples=["https://shop.example/hooks"])
    events: list[str] = Field(
        [name for name in EVENTS if name != PROGRESS], min_length=1, description="Which events it hears of."
    )
    name: str | None = Field(None, min_length=1, max_length=200, description="What you call it.")


class Change(Strict):
    """What shall be different about a webhook."""

    url: str | None = Field(None, max_length=LONGEST_URL, description="Where we POST to from now on.")
    events: list[str] | None = Field(None, min_length=1, description="Which events it hears of from now on.")
    name: str | None = Field(None, min_length=1, max_length=200, description="What you call it.")
    enabled: bool | None = Field(None, description="Whether it hears of anything.")


class Rotation(Strict):
    """How a new secret takes the place of the old one."""

    overlap_seconds: int = Field(
        OVERLAP_S, ge=0, le=LONGEST_OVERLAP_S, description="How long the old secret signs, too."
    )


def part(body: Mapping[str, Any], kind: str = "job") -> tuple[dict[str, Any], Webhook | None]:
    """Part a request into what is asked for, and the webhook that stands beside it. Raises InvalidInput.

    Args:
        body: The request; its webhook is an address, or an object as `Webhook` describes it.
        kind: What is asked for: job, flow or batch.
    """
    rest = {name: value for name, value in body.items() if name != WEBHOOK}
    told = body.get(WEBHOOK)
    return rest, None if told is None else read_webhook(told, kind)


def read_webhook(told: Any, kind: str) -> Webhook:
    """Read a webhook that hears of one job, flow or batch. Raises InvalidInput."""
    if isinstance(told, str) and told.startswith("{"):  # as a form carries it
        told = read_text(told)
    if not isinstance(told, str | Mapping):
        raise InvalidInput.at(WEBHOOK, "give an address, or an object with url and events.")
    try:
        webhook = Webhook.read({"url": told} if isinstance(told, str) else told)
    except InvalidInput as error:
        raise blame(error) from None
    known = {*JOB_ENDS, PROGRESS, MODEL_READY, *ENDS[kind]}
    if (never := next((name for name in webhook.events or () if name not in known), None)) is not None:
        raise InvalidInput.at(f"{WEBHOOK}/events", f"{never} never happens to a {kind}, nor to a job of it.")
    return webhook.model_copy(update={"events": webhook.events or list(ENDS[kind])})


def read_text(told: str) -> Any:
    """Read an object that came as text. Raises InvalidInput."""
    try:
        return json.loads(told)
    except (ValueError, RecursionError):
        raise InvalidInput.at(WEBHOOK, "this is no JSON: give an address, or an object with url and events.") from None


def blame(error: ToolError) -> ToolError:
    """Say that an error is the webhook's."""
    faults = error.details.get("errors") or [{"pointer": "", "code": error.code, "detail": error.detail}]
    placed = [{**fault, "pointer": f"/{WEBHOOK}{fault['pointer']}"} for fault in faults]
    return type(error)(f"{WEBHOOK}: {error.detail}", {"errors": placed})


def schema_of_webhook(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe what may stand under `webhook` in a request, from the schema of the object."""
    text = "Where to hear of it: an address, or an object with url and events."
    return {"description": text, "anyOf": [{"type": "string", "maxLength": LONGEST_URL}, schema]}
