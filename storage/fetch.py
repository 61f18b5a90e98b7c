"""Fetching from strangers: one public https file, within bounds of bytes, redirects and time."""

import re
from collections.abc import Callable, Collection
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address
from threading import Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from tools.errors import InputUnreachable, TooLarge, UrlBlocked

if TYPE_CHECKING:  # requests comes late, see within()
    from requests import Response, Session

    from storage.wire import Wire

T = TypeVar("T")

MAX_BYTES = 20 * 2**20
MAX_REDIRECTS = 3
MAX_URL_BYTES = 2048
WALL_S = 15.0
SILENCE_S = 5.0
CHUNK_BYTES = 64 * 1024

PORTS = {"https": {None, 443}, "http": {None, 80}}
VISIBLE_ASCII = re.compile(r"[!-\[\]-~]+")  # from ! to ~ without the backslash
ESCAPED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
HOST_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}")


def fetch(url: str, *, allow_http: bool = False, blocked_hosts: Collection[str] = (), wall_s: float = WALL_S) -> bytes:
    """Fetch one file from the public internet: at most MAX_BYTES, decompressed, in `wall_s` seconds altogether.

    Raises UrlBlocked, InputUnreachable or TooLarge.
    """
    check(url, allow_http=allow_http, blocked_hosts=blocked_hosts)

    def work(wire: "Wire") -> bytes:
        with wire.session(allow_http=allow_http) as session:
            return follow(session, url, allow_http=allow_http, blocked_hosts=blocked_hosts)

    try:
        return within(wall_s, work)
    except TimeoutError as error:
        raise InputUnreachable(f"The address took longer than {wall_s:g} s: put the file on a faster host.") from error


def within(wall_s: float, work: "Callable[[Wire], T]") -> T:
    """Do something on a wire of its own, in so many seconds altogether. Raises TimeoutError, and what the work does."""
    from storage.wire import Wire  # noqa: PLC0415  # it loads requests, 0.2 s: importing the API must not wait for it

    wire: Wire = Wire()
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work(wire))
        except Exception as error:  # noqa: BLE001  # it is raised where the answer is awaited
            answer.set_exception(error)

    # A time-out of requests starts anew with every byte, and a look-up of a name has none: so the clock runs outside.
    Thread(target=run, name="fetch", daemon=True).start()
    try:
        return answer.result(wall_s)
    finally:
        wire.cut()


def check(
    url: str, *, allow_http: bool = False, blocked_hosts: Collection[str] = (), open_hosts: Collection[str] = ()
) -> None:
    """Refuse, before any name is looked up, a URL that is not plainly `https://name/path`; UrlBlocked says why.

    Those who run the house may name hosts, or hosts with a port, that are open to us wherever they are.
    """
    parts = split(url)
    if parts.scheme != "https" and not ((allow_http or is_open(parts, open_hosts)) and parts.scheme == "http"):
        raise UrlBlocked("Give an address that begins with https://.")
    if "@" in parts.netloc:
        raise UrlBlocked("The address holds a user name or password: give one that anybody may open.")
    if is_open(parts, open_hosts):
        return
    host = (parts.hostname or "").removesuffix(".")
    if not (HOST_NAME.fullmatch(host) or is_address(host)):
        raise UrlBlocked("Give the full public name of the host, such as https://example.com/shoe.png.")
    if parts.port not in PORTS[parts.scheme]:
        raise UrlBlocked("Leave the port out of the address: we fetch from the usual one only.")
    if host in blocked_hosts:
        raise UrlBlocked("This is our own address: give the file as r2://bucket/key instead.")


def is_open(parts: SplitResult, open_hosts: Collection[str]) -> bool:
    """Tell whether those who run the house have named the host, or the host with this port."""
    return parts.hostname in open_hosts or parts.netloc.lower() in open_hosts


def split(url: str) -> SplitResult:
    """Take a URL apart, if it has nothing in it that two readers could understand differently."""
    if len(url) > MAX_URL_BYTES:
        raise UrlBlocked(f"The address is longer than {MAX_URL_BYTES} bytes: give a shorter one.")
    if not VISIBLE_ASCII.fullmatch(url) or ESCAPED_CONTROL.search(url):
        raise UrlBlocked("The address holds a space, a backslash or another odd character: percent-encode it.")
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its ValueError
    except ValueError as error:
        raise UrlBlocked("The address cannot be read: write it as https://example.com/shoe.png.") from error
    return parts


def is_address(host: str) -> bool:
    """Tell a well-formed IP address from odd spellings (127.1, 0x7f000001, fe80::1%eth0) that only C libraries read."""
    try:
        (IPv6Address if ":" in host else IPv4Address)(host)
    except ValueError:
        return False
    return "%" not in host


def follow(session: "Session", url: str, *, allow_http: bool, blocked_hosts: Collection[str]) -> bytes:
    """Get a URL, checking each redirect as if it had been given by the caller."""
    for _ in range(MAX_REDIRECTS + 1):
        check(url, allow_http=allow_http, blocked_hosts=blocked_hosts)
        with get(session, url) as response:
            target = session.get_redirect_target(response)
            if target is None:
                return body(response)
        split(target)  # urljoin would drop tabs and line ends without a word
        url = urljoin(url, target)
    raise UrlBlocked(f"The address redirects more than {MAX_REDIRECTS} times: give the final one.")


def get(session: "Session", url: str) -> "Response":
    """Send one request; the body is not read yet."""
    from AntiSSRF import AntiSSRFError  # type: ignore[import-untyped]  # noqa: PLC0415  # no types; late, see within()
    from requests import RequestException  # noqa: PLC0415  # late, see within()

    headers = {"Accept-Encoding": "identity", "User-Agent": "packshot", "Accept": "image/*"}
    try:
        return session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=SILENCE_S)
    except AntiSSRFError as error:
        raise UrlBlocked("The address leads to a private network: give one that is open to the public.") from error
    except (RequestException, OSError, UnicodeError) as error:
        raise InputUnreachable(
            f"The address cannot be reached ({type(error).__name__}): check it, then try again."
        ) from error


def body(response: "Response") -> bytes:
    """Read the body of a 200, counting the bytes as they come out of any compression."""
    from requests import RequestException  # noqa: PLC0415  # late, see within()

    if response.status_code != 200:
        raise InputUnreachable(f"The address answered {response.status_code}: give one that answers with the file.")
    data = bytearray()
    try:
        for chunk in response.iter_content(CHUNK_BYTES):
            data += chunk
            if len(data) > MAX_BYTES:
                raise TooLarge(f"The file is larger than {MAX_BYTES // 2**20} MB: give a smaller one.")
    except (RequestException, OSError) as error:
        raise InputUnreachable(f"The address broke off ({type(error).__name__}): try again.") from error
    return bytes(data)
