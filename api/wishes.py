"""Where a caller wants to hear of things: judged by the door before anything is kept."""

from collections.abc import Mapping
from typing import Any

from db.receivers import Wish
from settings import settings
from storage.post import admit
from tools import webhooks
from tools.errors import InvalidInput


def read_wish(body: Mapping[str, Any], kind: str = "job") -> tuple[dict[str, Any], Wish | None]:
    """Part a request into the job, flow or batch that is asked for, and where its caller wants to hear of it.

    Raises InvalidInput.
    """
    wanted, webhook = webhooks.part(body, kind)
    if webhook is None:
        return wanted, None
    try:
        host = admit_url(webhook.url)
    except InvalidInput as error:
        raise webhooks.blame(error) from None
    return wanted, Wish(webhook.url, host, webhook.events or [])


def admit_url(url: str) -> str:
    """Let an address in to which events are to be delivered; gives its host. Raises UrlBlocked, InputUnreachable."""
    return admit(url, settings().open_hosts)
