"""One RunPod endpoint over HTTP: four calls, and what each failure of them proves."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx

from settings import settings

logger = logging.getLogger(__name__)

#: In seconds. All in all a call is over before anybody else may send the same attempt (db.runs.SEND_S).
TIMEOUT = httpx.Timeout(connect=3, write=5, read=10, pool=2)

#: Errors that come before the request is on its way.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)

#: Seconds after which to try again where RunPod does not say it, and the longest that it can say.
AGAIN_S, LONGEST_AGAIN_S = 5.0, 60.0

#: A server that says so may have done what it was asked all the same.
REQUEST_TIMEOUT = 408


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


@cache
def client() -> httpx.Client:
    """Open the connections of this process, which all its threads share: making them costs 70 ms."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30)
    key = settings().runpod_api_key.get_secret_value()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request, and there are thousands
    return httpx.Client(timeout=TIMEOUT, limits=limits, headers={"Authorization": f"Bearer {key}"})


def run(endpoint: str, body: Said) -> Reply:
    """Give it a job: `{id, status}`. Never repeat this where the reply is unclear without looking first."""
    reply = ask("POST", f"{endpoint}/run", body)
    match reply:
        case {"id": str(remote_id)} if remote_id:
            return reply
        case Gone():
            return Refused(AGAIN_S, "there is no such endpoint")
        case Refused() | Unclear():
            return reply
        case _:
            return Unclear(f"a job without an id: {str(reply)[:200]}")


def status(endpoint: str, remote_id: str) -> Reply:
    """Ask how a job is: `{id, status, output?, error?, delayTime?, executionTime?, workerId?}`."""
    return ask("GET", f"{endpoint}/status/{remote_id}")


def cancel(endpoint: str, remote_id: str) -> Reply:
    """Have a job stopped, whether it waits or runs."""
    return ask("POST", f"{endpoint}/cancel/{remote_id}")


def health(endpoint: str) -> Reply:
    """Ask how many jobs and workers there are: `{jobs: {…}, workers: {…}}`."""
    return ask("GET", f"{endpoint}/health")


def ask(method: str, path: str, body: Said | None = None) -> Reply:
    """Make one call, and say what it proves."""
    try:
        response = client().request(method, f"{settings().runpod_base_url.rstrip('/')}/{path}", json=body)
    except UNSENT as error:
        return Refused(AGAIN_S, f"{type(error).__name__}: {error}")
    except httpx.HTTPError as error:
        return Unclear(f"{type(error).__name__}: {error}")
    return read(response)


def read(response: httpx.Response) -> Reply:
    """Read an answer: which of them are no, and which may be yes."""
    code = response.status_code
    if code == httpx.codes.NOT_FOUND:
        return Gone()
    if 300 <= code < 500 and code != REQUEST_TIMEOUT:
        return Refused(retry_after(response.headers.get("Retry-After")), f"{code} {response.text[:200]}")
    try:
        said = response.json()
    except ValueError:
        said = None
    if code < 300 and isinstance(said, dict):
        return said
    return Unclear(f"{code} {response.text[:200]}")


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
