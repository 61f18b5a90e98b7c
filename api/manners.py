"""How every answer is given: its id, the headers that keep a browser from harm, and who may read it from where."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import uuid4

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

import journal
from settings import settings

#: Request ids that we take over: what cannot break a header or a line of a log.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")

#: A browser runs nothing of an answer, shows it in no frame, guesses no type, and tells nobody where it was.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

#: What a page of another origin may send and read, if it may ask at all; and seconds for which it may remember that.
CORS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-Request-Id"
    ),
    "Access-Control-Expose-Headers": "Location, Retry-After, X-Job-Id, X-Request-Id, X-GPU-Seconds, X-Engine",
    "Access-Control-Max-Age": "600",
}

#: The names of this machine, for whoever asks on it.
OURS = ("localhost", "127.0.0.1")


def register(app: Flask) -> None:
    """Let the app behave."""
    if hops := settings().proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]  # as its documentation does
    app.config["TRUSTED_HOSTS"] = trusted_hosts()
    app.before_request(name_request)
    named = origins()
    app.after_request(lambda response: finish(response, named))


def name_request() -> None:
    """Give the request an id: the caller's, if it sent one that can be used."""
    sent = request.headers.get("X-Request-Id", "")
    g.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid4().hex
    journal.begin(request_id=g.request_id)


def origins() -> list[str]:
    """List the other origins whose pages may ask."""
    return split(settings().cors_origins)


def finish(response: Response, named: Sequence[str]) -> Response:
    """Put into an answer what all have; what a route has said itself stays."""
    if "request_id" not in g:  # refused before anybody looked at it
        name_request()
    response.headers["X-Request-Id"] = g.request_id
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if named:
        response.vary.add("Origin")
        if (origin := request.headers.get("Origin")) in named:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers.update(CORS)
    return response


def trusted_hosts() -> list[str] | None:
    """Say under which names we are asked; None if under any.

    Without keys only this machine's own, or a page somewhere could lead its reader's browser to us under a name of its
    own.
    """
    named = split(settings().trusted_hosts)
    public = urlsplit(settings().public_url).hostname
    if not named and settings().auth == "keys":
        return None
    return [*named, *([public] if public else []), *OURS]


def split(text: str) -> list[str]:
    """Read what stands between commas."""
    return [part.strip().rstrip("/") for part in text.split(",") if part.strip()]
