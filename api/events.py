"""What happens to a job or a flow: live for who asks for a stream, else as a list."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, jsonify, request

from api import flows, handover, tools
from api.feeds import Feed, Listener, write
from api.jobs import LONGEST_PAGE, check_filters, read_count
from api.problems import BadRequest, NotAcceptable
from api.streams import Streams
from db import events
from db.events import LAST, Opening
from tools.errors import InvalidInput

blueprint = Blueprint("events", __name__, url_prefix="/api")

STREAM = "text/event-stream"

#: What a list can be asked for.
FILTERS = ("limit", "cursor")

#: Said first of all: in how many milliseconds a listener comes again who was cut off.
RETRY = b"retry: 1000\n\n"

#: Proxies shall pass each frame on as it comes, and nobody shall keep it.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Open = Callable[[UUID, int | None], Opening]
Read = Callable[[Mapping[UUID, int], int, int], dict[UUID, list[dict[str, Any]]]]


@blueprint.get("/jobs/<job_id>/events")
def get_job_events(job_id: str) -> Response:
    """Tell what happens to a job."""
    wanted = tools.read_id(job_id)
    if wants_stream():
        return stream(wanted, streams().jobs, events.open_job)
    return show_list(wanted, events.open_job, events.read_jobs)


@blueprint.get("/flows/<flow_id>/events")
def get_flow_events(flow_id: str) -> Response:
    """Tell what happens in a flow."""
    wanted = flows.read_id(flow_id)
    if wants_stream():
        return stream(wanted, streams().flows, events.open_flow)
    return show_list(wanted, events.open_flow, events.read_flows)


def wants_stream() -> bool:
    """Tell whether the caller asks for a stream rather than for JSON."""
    return request.accept_mimetypes.best_match(["application/json", STREAM]) == STREAM


def show_list(wanted: UUID, open_one: Open, read: Read) -> Response:
    """List what has happened, the oldest first, a page at a time: `{data, next_cursor, has_more}`."""
    check_filters(FILTERS)
    after, limit = read_cursor(), read_count("limit", 100, LONGEST_PAGE, smallest=1)
    found = read({wanted: after}, open_one(wanted, None).newest, limit + 1).get(wanted, [])
    page, more = found[:limit], len(found) > limit
    return jsonify({"data": page, "next_cursor": str(page[-1]["id"]) if more else None, "has_more": more})


def stream(wanted: UUID, feed: Feed, open_one: Open) -> Response:
    """Show how it is, or go on after the last event that the caller has had; then tell what happens, to the end."""
    last = read_last_id()
    opening = open_one(wanted, last)
    if opening.known and opening.ended and last == opening.newest:
        return Response(status=204)  # there is no more: whoever hears this does not come again
    first = b"" if opening.known else write(opening.shown)
    if request.method == "HEAD" or (opening.ended and not opening.known):
        return Response(RETRY + first, headers=HEADERS, content_type=STREAM)
    if not handover.can_take(request.environ):
        raise NotAcceptable("This connection cannot be kept for a stream: ask by HTTP/1.1, or for application/json.")
    seats = streams()
    seats.reserve()
    chunked = request.environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    listener = Listener(feed, wanted, last if opening.known and last else opening.newest, chunked=chunked)
    told = Response(hand_over(RETRY + first, request.environ, seats, listener), headers=HEADERS, content_type=STREAM)
    told.call_on_close(partial(seats.give_back, listener))
    return told


def hand_over(first: bytes, environ: dict[str, Any], seats: Streams, listener: Listener) -> Iterator[bytes]:
    """Let gunicorn write the head and the first frame, then take the connection over from it."""
    yield first
    seats.adopt(listener, handover.take(environ))


def read_last_id() -> int | None:
    """Read `Last-Event-ID`. Raises BadRequest."""
    text = request.headers.get("Last-Event-ID", "")
    if text and not is_id(text):
        raise BadRequest("Last-Event-ID is a whole number: send what stood after id: in the last frame that you had.")
    return int(text) if text else None


def read_cursor() -> int:
    """Read after which event the page begins. Raises InvalidInput if it is no cursor of ours."""
    text = request.args.get("cursor", "0")
    if not is_id(text):
        raise InvalidInput.at("cursor", "this is no cursor of ours: take next_cursor from the page before.")
    return int(text)


def is_id(text: str) -> bool:
    """Tell whether a text is a number that an event can have."""
    return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= LAST


def streams() -> Streams:
    """Find the streams of this process."""
    found: Streams = current_app.extensions["streams"]
    return found
