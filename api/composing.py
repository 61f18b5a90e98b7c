"""Take in a flow or a batch, and answer for it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, jsonify

from api import callers, submitting
from api.preferences import Preference, read_key
from db import course, flow_pages, intake, life
from db.base import transaction
from db.course import AskedFlow
from db.jobs import ENDED
from storage.door import let_in
from tasks import ending
from tools import references
from tools.errors import ToolError
from tools.plan import Ready, blame_item

logger = logging.getLogger(__name__)

#: What a door made of an address, by the door and the address.
Admitted = dict[tuple[str, str], str]


def submit(route: str, given: Mapping[str, Any], make: Callable[[], AskedFlow]) -> tuple[UUID, bool]:
    """Make a flow of a request, once for each idempotency key: its id, and whether it was there before.

    Raises:
        InvalidInput, ModelNotReady, …: and nothing was made.
    """
    key = read_key(route, dict(given))
    if key and (known := intake.find_key(key)):
        return known, True
    asked = replace(make(), origin=callers.origin())
    with ending.transition() as session:
        if key and (known := intake.lock_key(session, key)):
            return known, True
        life.check_ids(session, asked.steps)
        course.accept(session, asked)
        if key:
            intake.keep_key(session, key, flow_id=asked.id)
    logger.info("%s accepted", asked.kind, extra={"flow_id": str(asked.id)})
    return asked.id, False


def admit(steps: list[Ready], admitted: Admitted, *, fetch: bool = True) -> list[Ready]:
    """Let in the files that the steps name; without `fetch`, those of other people stay where they are."""
    return [replace(ready, items=list(admit_items(ready, admitted, fetch=fetch))) for ready in steps]


def admit_items(ready: Ready, admitted: Admitted, *, fetch: bool) -> list[dict[str, Any]]:
    """Let in the files that the jobs of a step name."""
    doors = [name for name, kind in ready.tool.takes.items() if kind.door]
    made = []
    for n, item in enumerate(ready.items):
        given = {name: item[name] for name in doors if item.get(name)}
        let = {name: admit_value(ready, (n, name), value, admitted, fetch=fetch) for name, value in given.items()}
        made.append({**item, **let})
    return made


def admit_value(ready: Ready, spot: tuple[int, str], value: Any, admitted: Admitted, *, fetch: bool) -> Any:
    """Let one file in, once for all the steps that name it; what a reference names is in already."""
    if isinstance(value, list):
        return [admit_value(ready, spot, each, admitted, fetch=fetch) for each in value]
    if any(references.find(value)) or not (fetch or value.startswith("r2://")):
        return value
    key = (str(ready.tool.takes[spot[1]].door), value)
    if key not in admitted:
        try:
            admitted[key] = let_in(ready.tool, {spot[1]: value})[spot[1]]
        except ToolError as error:
            raise blame_item(ready, *spot, error) from None
    return admitted[key]


def check(steps: list[Ready]) -> None:
    """Look up all that steps name, and let nothing in."""
    admit(steps, {}, fetch=False)
    with transaction() as session:
        life.check_ids(session, steps)


def answer(flow_id: UUID, preference: Preference, *, replayed: bool, kind: str = "flow") -> Response:
    """Answer with the flow, if it has ended in time; else with where to ask for it."""
    shown: dict[str, Any] = {"status": "processing"}
    if replayed or preference.wait_s > 0:
        shown = submitting.waiting().wait(flow_id, preference.wait_s, partial(flow_pages.read, kind=kind))
    ended = preference.wait_s > 0 and shown["status"] in ENDED
    response = jsonify(shown if ended else {f"{kind}_id": str(flow_id), "status": shown["status"]})
    response.status_code = 200 if ended else 202
    response.headers["Location"] = f"{flow_pages.PATHS[kind]}/{flow_id}"
    return submitting.heed(response, preference, replayed=replayed)


def cancel(flow_id: UUID) -> None:
    """Cancel a flow: what waits at once, then each job that is out. Raises FlowNotFound."""
    with transaction() as session:
        out = course.cancel(session, flow_id)
    for job_id in out:
        ending.cancel(job_id)
