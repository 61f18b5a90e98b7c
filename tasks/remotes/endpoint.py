"""One RunPod endpoint over HTTP: four calls, and what each failure of them proves."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp

from settings import settings
from tasks.remotes import wire

#: Errors that come before the request is on its way.
UNSENT = (
    aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError,
)  # fmt: skip

#: Seconds after which to try again where RunPod does not say it, and the longest that it can say.
AGAIN_S, LONGEST_AGAIN_S = 5.0, 60.0


@dataclass(frozen=True)
class Refused:
    """It surely did not do it, and may be asked again in so many seconds."""

    again_s: float
    why: str


@dataclass(frozen=True)
class Unclear:
    """Whether it did it, nobody knows."""

    why: str


@dataclass(frozen=True)
class Gone:
    """It knows no such job."""


Said = Mapping[str, Any]
Reply = Said | Refused | Unclear | Gone


async def run(endpoint: str, body: Said) -> Reply:
    """Give it a job: `{id, status}`. Never repeat this where the reply is unclear without looking first."""
    reply = await ask("POST", f"{endpoint}/run", body)
    match reply:
        case {"id": str(remote_id)} if remote_id:
            return reply
        case Gone():
            return Refused(AGAIN_S, "there is no such endpoint")
        case Refused() | Unclear():
            return reply
        case _:
            return Unclear(f"a job without an id: {str(reply)[:200]}")


async def status(endpoint: str, remote_id: str) -> Reply:
    """Ask how a job is: `{id, status, output?, error?, delayTime?, executionTime?, workerId?}`."""
    return await ask("GET", f"{endpoint}/status/{remote_id}")


async def cancel(endpoint: str, remote_id: str) -> Reply:
    """Have a job stopped, whether it waits or runs."""
    return await ask("POST", f"{endpoint}/cancel/{remote_id}")


async def health(endpoint: str) -> Reply:
    """Ask how many jobs and workers there are: `{jobs: {…}, workers: {…}}`."""
    return await ask("GET", f"{endpoint}/health")


async def read_scale(endpoint: str) -> Reply:
    """Ask how it is configured: `{workersMin, workersMax, …}`."""
    return await ask("GET", f"endpoints/{endpoint}", base=settings().runpod_rest_url)


async def set_scale(endpoint: str, changes: Mapping[str, int]) -> Reply:
    """Change how many workers it may have; the rest of it stays as it is."""
    return await ask("PATCH", f"endpoints/{endpoint}", changes, base=settings().runpod_rest_url)


async def ask(method: str, path: str, body: Said | None = None, base: str | None = None) -> Reply:
    """Make one call, and say what it proves."""
    url = f"{(base or settings().runpod_base_url).rstrip('/')}/{path}"
    try:
        async with wire.client().request(method, url, json=body, allow_redirects=False) as response:
            return read(response.status, response.headers.get("Retry-After"), await response.read())
    except UNSENT as error:
        return Refused(AGAIN_S, f"{type(error).__name__}: {error}")
    except (aiohttp.ClientError, TimeoutError) as error:
        return Unclear(f"{type(error).__name__}: {error}")


def read(code: int, again: str | None, raw: bytes) -> Reply:
    """Read an answer: which of them are no, and which may be yes."""
    if code == HTTPStatus.NOT_FOUND:
        return Gone()
    why = f"{code} {raw[:200].decode(errors='replace')}"
    # A server that says 408 may have done what it was asked all the same.
    if 300 <= code < 500 and code != HTTPStatus.REQUEST_TIMEOUT:
        return Refused(retry_after(again), why)
    try:
        said = json.loads(raw)
    except ValueError:
        said = None
    return said if code < 300 and isinstance(said, dict) else Unclear(why)


def retry_after(header: str | None) -> float:
    """Read when to try again, in seconds: a number, or a date."""
    try:
        seconds = float(header or AGAIN_S)
    except ValueError:
        seconds = until(header or "")
    return min(max(seconds, 1.0), LONGEST_AGAIN_S) if seconds == seconds else AGAIN_S  # noqa: PLR0124 - NaN is not itself


def until(date: str) -> float:
    """Count the seconds until an HTTP date."""
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return AGAIN_S
