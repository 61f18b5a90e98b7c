"""What went wrong, as RFC 9457 problem documents."""

import logging
from typing import Any

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from tools import errors
from tools.errors import InvalidInput, ToolError

logger = logging.getLogger(__name__)

#: The status of each class of error; a class takes that of the nearest one above it.
STATUSES: dict[type[ToolError], int] = {
    ToolError: 500,
    errors.InvalidInput: 422,
    errors.UnsupportedMedia: 422,
    errors.TooLarge: 413,
    errors.NotFound: 404,
    errors.ModelNotReady: 409,
    errors.IdempotencyInProgress: 409,
    errors.ObjectNotFound: 422,
    errors.Cancelled: 409,
    errors.Expired: 503,
    errors.Poisoned: 502,
    errors.NoOutput: 502,
    errors.HandlerFailed: 502,
    errors.Unavailable: 503,
}

#: Seconds after which a caller shall try again.
RETRY_AFTER = {409: "1", 503: "5"}


def status_of(error: ToolError) -> int:
    """Find the HTTP status of an error."""
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)


def show(error: ToolError, **more: Any) -> Response:
    """Answer with an error of ours."""
    status = status_of(error)
    retry = {"Retry-After": RETRY_AFTER[status]} if error.retryable and status in RETRY_AFTER else {}
    return document(status, (type(error).__name__), retry, **error.problem(), **more)


def document(status: int, title: str, headers: dict[str, str], **members: Any) -> Response:
    """Write a problem document."""
    code = members["code"]
    body = {"type": f"/docs/problems/{code}", "title": title, "status": status, "success": False}
    body |= {"instance": request.path, **members}
    return Response(json.dumps(body) + "\n", status, headers, content_type="application/problem+json")


def show_http(error: HTTPException) -> Response:
    """Answer with what Flask refused: no such route, wrong method, too large."""
    if isinstance(error, RequestEntityTooLarge):
        return show(errors.TooLarge("The request is larger than we take."))
    status = error.code or 500
    name = error.name.lower().replace(" ", "_")
    allow = {"Allow": ", ".join(error.valid_methods or ())} if isinstance(error, MethodNotAllowed) else {}
    detail = error.description or error.name
    return document(status, error.name, allow, code=name, detail=detail, retryable=status >= 500)


def show_bug(error: Exception) -> Response:
    """Answer for a mistake of ours: the caller learns no more than that, the log learns all."""
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return show(ToolError("Something went wrong on our side; it is in the log."))


def register(app: Flask) -> None:
    """Let the app answer every error with a problem document."""
    app.register_error_handler(ToolError, show)
    app.register_error_handler(HTTPException, show_http)
    app.register_error_handler(Exception, show_bug)


class BadRequest(InvalidInput):
    """The request cannot be read."""

    code = "bad_request"


class UnsupportedContentType(InvalidInput):
    """Send this as application/json."""

    code = "unsupported_content_type"


STATUSES |= {BadRequest: 400, UnsupportedContentType: 415}
