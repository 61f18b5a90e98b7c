"""The same door outwards: one POST to an address that a caller named, judged when it is given and at each sending."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING

from storage.fetch import SILENCE_S, WALL_S, check, is_open, split, within
from tools.errors import InputUnreachable, UrlBlocked

if TYPE_CHECKING:  # requests comes late, see within()
    from requests import Session

    from storage.wire import Wire

#: Seconds in which the name of a receiver must be found.
LOOK_UP_S = 5.0

#: The longest that anybody can have us wait, in seconds.
LONGEST_PAUSE_S = 24 * 3600


@dataclass(frozen=True)
class Answer:
    """What came of a POST: a status, or what went wrong; and for how many seconds we are asked to stay away."""

    status: int | None = None
    error: str | None = None
    pause_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it was taken: a redirect is none."""
        return self.status is not None and 200 <= self.status < 300


def admit(url: str, open_hosts: Collection[str] = ()) -> str:
    """Judge an address as each sending will, without a connection; gives its origin.

    Raises UrlBlocked, or InputUnreachable if nobody knows its name.
    """
    check(url, open_hosts=open_hosts)
    parts = split(url)
    if not is_open(parts, open_hosts):
        try:
            within(LOOK_UP_S, lambda wire: judge(wire, url))
        except TimeoutError as error:
            raise InputUnreachable(f"The name {parts.hostname} was not found in {LOOK_UP_S:g} s: try again.") from error
    return f"{parts.scheme}://{parts.netloc}".lower()


def judge(wire: "Wire", url: str) -> None:
    """Look the name up, and refuse it if it leads to where nobody but us may go."""
    from AntiSSRF import AntiSSRFError  # type: ignore[import-untyped]  # noqa: PLC0415  # no types; late, see within()
    from requests import Request  # noqa: PLC0415  # late, see within()
    from requests.adapters import HTTPAdapter  # noqa: PLC0415  # the same

    with wire.session(allow_http=False) as session:
        adapter = session.get_adapter(url)
        if not isinstance(adapter, HTTPAdapter):
            raise TypeError("the session has adapters of another kind")
        try:
            adapter.get_connection_with_tls_context(session.prepare_request(Request("POST", url)), verify=True)
        except AntiSSRFError as error:
            raise UrlBlocked("The address leads to a private network: give one that is open to the public.") from error
        except (OSError, UnicodeError) as error:
            raise InputUnreachable(f"Nobody knows the name {split(url).hostname}: check it.") from error


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, open_hosts: Collection[str] = (), wall_s: float = WALL_S
) -> Answer:  # fmt: skip
    """POST once: no redirect is followed, and the body of the answer is not read. It never raises for what they do."""
    try:
        check(url, open_hosts=open_hosts)

        def work(wire: "Wire") -> Answer:
            with wire.session(allow_http=False, is_open=is_open(split(url), open_hosts)) as session:
                return send(session, url, body, headers)

        return within(wall_s, work)
    except TimeoutError:
        return Answer(error=f"no answer in {wall_s:g} s")
    except UrlBlocked as error:
        return Answer(error=f"blocked: {error}")


def send(session: "Session", url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send it, and read the head of the answer."""
    from AntiSSRF import AntiSSRFError  # noqa: PLC0415  # late, see within()
    from requests import RequestException  # noqa: PLC0415  # the same

    told = {"User-Agent": "packshot", "Accept-Encoding": "identity", **headers}
    try:
        with session.post(
            url, data=body, headers=told, stream=True, allow_redirects=False, timeout=(SILENCE_S, WALL_S)
        ) as response:
            return Answer(response.status_code, pause_s=read_pause(response.headers.get("Retry-After", "")))
    except AntiSSRFError:
        return Answer(error="blocked: the address leads to a private network")
    except (RequestException, OSError, UnicodeError) as error:
        return Answer(error=f"no connection ({type(error).__name__})")


def read_pause(told: str) -> float:
    """Read Retry-After, in seconds or as a date: seconds from now; 0 if it says nothing that we understand."""
    if told.isascii() and told.isdigit():
        return float(min(int(told[:9]), LONGEST_PAUSE_S))
    try:
        return min(max(0.0, parsedate_to_datetime(told).timestamp() - time()), LONGEST_PAUSE_S)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
