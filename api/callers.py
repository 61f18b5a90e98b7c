"""Who asks: the key of a request, what it is good for, and how often its holder may ask."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from ipaddress import ip_address
from stat import S_ISSOCK
from threading import Lock
from time import monotonic, time
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from werkzeug.exceptions import BadRequest

from api import manners, problems
from api.problems import OriginRefused, TooOften
from db import api_keys
from db.api_keys import Caller, Origin
from settings import settings
from tools.allowance import KeyRefused, KeyRequired, ScopeMissing, round_up

logger = logging.getLogger(__name__)

#: Seconds for which a key that was found is not looked up again; a revoked one is good for so long.
REMEMBERED_S = 5.0

#: Keys that are remembered; with more, all are forgotten.
MOST_REMEMBERED = 1000

#: What needs no key: whether we are well, what RunPod tells under a mark of its own, and how we are asked.
OPEN = frozenset({"health", "hooks"})
OPEN_PAGES = frozenset(f"openapi.get_{name}" for name in ("front", "openapi", "docs", "problems", "asset"))

#: What a key must be good for, by verb; any other verb has something done.
SCOPES = {"GET": "read", "HEAD": "read", "DELETE": "admin"}

#: Verbs that have nothing done.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

#: What hears of everybody's jobs, and is therefore nobody's own.
RUN_BY_ADMINS = frozenset({"webhooks"})

#: The longest key that is looked at, in characters.
LONGEST_KEY = 200

#: Asks a socket whether it listens.
LISTENS = (socket.SOL_SOCKET, socket.SO_ACCEPTCONN)

#: Redis is asked how often somebody has asked; after this many seconds we count by ourselves.
REDIS_S = 0.5


class Memory:
    """The keys that were found a moment ago: a poll shall not ask for its key each time."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Caller, float]] = {}
        self.lock = Lock()

    def find(self, key: str) -> Caller:
        """Find whose key it is. Raises KeyRefused, Unavailable."""
        name = api_keys.digest(key)
        known = self.found.get(name)
        if known and monotonic() < known[1]:
            return known[0]
        caller = api_keys.find(key)
        with self.lock:
            if len(self.found) >= MOST_REMEMBERED:
                self.found.clear()
            self.found[name] = (caller, monotonic() + REMEMBERED_S)
        return caller


def register(app: Flask) -> None:
    """Let in whom a key names, as often as it may; or, where no key is needed, whoever is on this machine."""
    if settings().auth == "off":
        refuse_strangers()
        app.before_request(partial(hold_off_strangers, manners.origins()))
        return
    memory = Memory()
    app.before_request(lambda: identify(memory))
    limit_rates(app)
    app.before_request(let_in)


def origin() -> Origin:
    """Say who asks, and by which request."""
    return Origin(g.get("caller"), g.get("request_id"))


def identify(memory: Memory) -> None:
    """Find out who asks; that nobody is known is told later, once it was counted."""
    g.caller, g.refusal = None, None
    if is_open():
        return
    try:
        g.caller = memory.find(read_key())
    except (KeyRequired, KeyRefused) as error:
        g.refusal = error


def is_open() -> bool:
    """Tell whether this needs no key, or is refused for the name under which we are asked."""
    if isinstance(request.routing_exception, BadRequest):
        return True
    return request.method == "OPTIONS" or request.blueprint in OPEN or request.endpoint in OPEN_PAGES


def read_key() -> str:
    """Read the key: from its header alone, as addresses are written into logs. Raises KeyRequired, KeyRefused."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise KeyRequired
    if len(key) > LONGEST_KEY:
        raise KeyRefused
    return key.strip()


def let_in() -> None:
    """Go on, if the key is good for what is asked. Raises KeyRequired, KeyRefused, ScopeMissing."""
    if is_open():
        return
    if g.refusal:
        raise g.refusal
    scope = "admin" if request.blueprint in RUN_BY_ADMINS else SCOPES.get(request.method, "submit")
    if not g.caller.may(scope):
        raise ScopeMissing(f"This key may not do that: take one whose scopes include {scope} or admin.")


def limit_rates(app: Flask) -> None:
    """Let each key, and each address without one, ask so often and no more. Redis away is no reason to refuse."""
    from flask_limiter import Limiter  # noqa: PLC0415 - where no key is needed nobody is counted, and it is not loaded

    limiter = Limiter(
        name_asker,
        app=app,
        application_limits=[settings().rate_limit],
        application_limits_exempt_when=is_open,
        storage_uri=settings().redis_url.get_secret_value(),
        storage_options={"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S},  # type: ignore[dict-item]  # redis takes fractions
        in_memory_fallback_enabled=True,
        on_breach=say_too_often,
        key_prefix="packshot",
    )
    app.extensions["rates"] = limiter


def name_asker() -> str:
    """Say for whom a request counts."""
    return str(g.caller.id) if g.caller else f"nobody at {request.remote_addr}"


def say_too_often(limit: Any) -> Response:
    """Answer to who asks too often."""
    return problems.show(TooOften(details={"retry_after": round_up(max(0.0, limit.reset_at - time()))}))


def refuse_strangers() -> None:
    """Do not start where others than this machine's users could ask, without a key."""
    if open_to := next((host for host in listening() if not is_loopback(host)), None):
        raise RuntimeError(  # after a SystemExit, gunicorn would start another worker, and so on for ever
            f"AUTH=off is for this machine alone, and this process listens on {open_to}: "
            "set AUTH=keys and make a key by packshot keys create, or bind 127.0.0.1."
        )


def hold_off_strangers(named: Sequence[str]) -> None:
    """Answer nobody without a key who asks at another address than loopback, however the server was started.

    Nor a page of another origin that wants something done: a browser asks for it here without a question if it looks
    like a form, and its reader has no key that it would lack.
    """
    if not is_loopback(request.environ.get("SERVER_NAME", "")):
        raise KeyRequired("Without keys we answer on this machine alone: set AUTH=keys, or bind 127.0.0.1.")
    origin = request.headers.get("Origin")
    if request.method in SAFE or origin is None or origin in named:
        return
    if urlsplit(origin).netloc != request.host:
        raise OriginRefused


def listening() -> Iterator[str]:
    """Give the addresses on which this process listens: a server opens its sockets before it makes the app."""
    for number in [int(name) for name in os.listdir("/dev/fd")]:  # noqa: PTH208 - numbers, not files
        try:
            if not S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as one:  # a copy, as it is closed behind us
                if one.family in {socket.AF_INET, socket.AF_INET6} and one.getsockopt(*LISTENS):
                    yield str(one.getsockname()[0])
        except OSError:  # closed meanwhile
            continue


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address; a path is a socket in its files."""
    if host in {"localhost", ""} or host.startswith("/"):
        return True
    try:
        return ip_address(host.strip("[]").split("%")[0]).is_loopback
    except ValueError:
        return False
