"""What went wrong, as RFC 9457 problem documents."""

import logging
from difflib import get_close_matches
from typing import Any

from flask import Flask, Response, current_app, json, request
from gunicorn.http.errors import (  # type: ignore[import-untyped]  # it has no types
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge, SecurityError

from storage.space import is_full
from tools import allowance, errors
from tools.errors import InvalidInput, ToolError, Unavailable
from tools.flow import FlowRunning
from tools.webhooks import WebhookDisabled

logger = logging.getLogger(__name__)

#: The status of each class of error; a class takes that of the nearest one above it.
STATUSES: dict[type[ToolError], int] = {
    ToolError: 500,
    errors.InvalidInput: 422,
    errors.UnsupportedMedia: 422,
    errors.TooLarge: 413,
    errors.NotFound: 404,
    FlowRunning: 409,
    WebhookDisabled: 409,
    errors.ModelNotReady: 409,
    errors.ModelFailed: 409,
    errors.IdempotencyInProgress: 409,
    errors.ObjectNotFound: 422,
    errors.Cancelled: 409,
    errors.Expired: 503,
    errors.Poisoned: 502,
    errors.NoOutput: 502,
    errors.HandlerFailed: 502,
    errors.Unavailable: 503,
    allowance.KeyRequired: 401,
    allowance.KeyRefused: 401,
    allowance.BudgetSpent: 402,
    allowance.ScopeMissing: 403,
    allowance.QuotaReached: 429,
    allowance.GpuSecondsSpent: 409,
}

#: What werkzeug refuses while it reads a body does not say which of its bounds was passed.
TOO_LARGE = "The request is larger than we take: send fewer or smaller fields, and files within MAX_UPLOAD_BYTES."

#: Seconds after which a caller shall try again.
RETRY_AFTER = {409: "1", 503: "5"}


def status_of(error: type[ToolError]) -> int:
    """Find the HTTP status of a kind of error."""
    return next(STATUSES[cls] for cls in error.__mro__ if cls in STATUSES)


def show(error: ToolError, **more: Any) -> Response:
    """Answer with an error of ours."""
    status = status_of(type(error))
    after = error.details.get("retry_after") or (RETRY_AFTER.get(status) if error.retryable else None)
    headers = {"Retry-After": str(after)} if after else {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="packshot"'
    return document(status, error.problem() | more, headers)


def document(status: int, members: dict[str, Any], headers: dict[str, str]) -> Response:
    """Answer with a problem document."""
    said = write(status, members, request.path)
    return Response(said + "\n", status, headers, content_type="application/problem+json")


def write(status: int, members: dict[str, Any], path: str) -> str:
    """Write a problem document of a code, a sentence, and what else there is to say."""
    code = members["code"]
    body = {"type": f"/docs/problems#{code}", "title": code.replace("_", " ").capitalize(), "instance": path}
    return json.dumps({**body, **members, "status": status, "success": False})


def show_http(error: HTTPException) -> Response:
    """Answer with what Flask refused: no such route, wrong method, too large."""
    if isinstance(error.response, Response):  # whoever refused has said it in our words
        return error.response
    if isinstance(error, RequestEntityTooLarge):
        return show(errors.TooLarge(TOO_LARGE))
    status = error.code or 500
    name = error.name.lower().replace(" ", "_")
    allow = {}
    detail = error.description or error.name
    if isinstance(error, NotFound):
        detail = f"There is nothing at {request.path[:200]}: {near(request.path)}/docs shows all that there is."
    if isinstance(error, SecurityError):
        detail = f"{detail} Ask by a name that TRUSTED_HOSTS has, or add this one to it."
    if isinstance(error, MethodNotAllowed):
        allow = {"Allow": ", ".join(sorted(error.valid_methods or ()))}
        meant = sorted({*(error.valid_methods or ())} - {"HEAD", "OPTIONS"})
        detail = f"{request.method} does nothing here: send {' or '.join(meant)}."
    return document(status, {"code": name, "detail": detail, "retryable": status >= 500}, allow)


def name_unreadable(error: ParseException) -> ToolError:
    """Say in our words what gunicorn cannot read."""
    return UNREADABLE.get(type(error), NotHttp)()


def near(path: str) -> str:
    """Name the route that was meant, if one is spelt nearly so."""
    routes = [rule.rule for rule in current_app.url_map.iter_rules() if not rule.arguments]
    return "".join(f"did you mean {route}? " for route in get_close_matches(path[:200], routes, n=1, cutoff=0.7))


def show_bug(error: Exception) -> Response:
    """Answer for a mistake of ours: the caller learns no more than that, the log learns all."""
    if is_full(error):  # werkzeug, too, puts large uploads on disk
        logger.error("%s %s found the disk full: %s", request.method, request.path, error)
        return show(errors.DiskFull())
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return show(ToolError("Something went wrong on our side; it is in the log."))


def register(app: Flask) -> None:
    """Let the app answer every error with a problem document."""
    app.register_error_handler(ToolError, show)
    app.register_error_handler(HTTPException, show_http)
    app.register_error_handler(ParseException, lambda error: show(name_unreadable(error)))
    app.register_error_handler(Exception, show_bug)


class BadRequest(InvalidInput):
    """The request cannot be read."""

    code = "bad_request"


class NotHttp(BadRequest):
    """The request is not written as HTTP/1.1 wants it: look at what stands between you and us."""


class AddressTooLong(InvalidInput):
    """The address of the request is longer than we take: leave out of it what is not needed."""

    code = "address_too_long"


class HeadTooLarge(InvalidInput):
    """The request has more headers, or larger ones, than we take: send fewer and shorter ones."""

    code = "head_too_large"


class UnsupportedContentType(InvalidInput):
    """Send this as application/json."""

    code = "unsupported_content_type"


class NotAcceptable(InvalidInput):
    """We cannot answer in the form that is asked for: ask for application/json."""

    code = "not_acceptable"


class TooManyListeners(Unavailable):
    """As many listen as can: poll, or try again later."""

    code = "too_many_listeners"


class OriginRefused(ToolError):
    """A page of another origin may not have this done: name it in CORS_ORIGINS, if it is yours."""

    code = "origin_refused"


class TooOften(ToolError):
    """You ask more often than this house answers: wait as long as Retry-After says, and poll less often."""

    code = "too_often"
    retryable = True


class TooSlow(ToolError):
    """The request did not come in time: send it at 16 kB a second or more, or send less of it."""

    code = "too_slow"
    retryable = True


STATUSES |= {BadRequest: 400, UnsupportedContentType: 415, NotAcceptable: 406, TooOften: 429, TooSlow: 408,
             AddressTooLong: 414, HeadTooLarge: 431, OriginRefused: 403}  # fmt: skip

#: What gunicorn refuses to read, where it is more than a bad request.
UNREADABLE: dict[type[ParseException], type[ToolError]] = {
    LimitRequestLine: AddressTooLong, LimitRequestHeaders: HeadTooLarge,
}  # fmt: skip
