"""Take in a flow or a batch, and answer for it."""

import json
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
from storage.door import ARCHIVE, let_in
from tasks import ending
from tools import references
from tools.errors import ToolError
from tools.plan import Ready, blame_item

logger = logging.getLogger(__name__)

#: What a door made of an address, or of a list of them as JSON, by the door and that.
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
    made = []
    for n, item in enumerate(ready.items):
        given = {name: kind.door for name, kind in ready.tool.takes.items() if kind.door and item.get(name)}
        let: dict[str, Any] = {}
        for name, door in given.items():
            if door == ARCHIVE:
                let |= admit_photos(ready, (n, name), item, admitted, fetch=fetch)
            else:
                let[name] = admit_value(ready, (n, name), item[name], admitted, fetch=fetch)
        made.append({**let, **item, **{name: let[name] for name in given if name in let}})
    return made


def admit_photos(
    ready: Ready, spot: tuple[int, str], item: Mapping[str, Any], admitted: Admitted, *, fetch: bool
) -> dict[str, Any]:  # fmt: skip
    """Let the photos of a training in at once: their dataset, and what it makes of gaps beside it."""
    value, word = item[spot[1]], item.get("trigger_word")
    if any(references.find(value)) or not (fetch or all(map(is_ours, value if isinstance(value, list) else [value]))):
        return {}
    known = {} if any(references.find(word)) else {"trigger_word": word}
    key = key_of(ARCHIVE, value)
    try:  # a dataset that is known may still lack this word
        let = let_in(ready.tool, {**known, spot[1]: admitted.get(key, value)})
    except ToolError as error:
        raise blame_item(ready, *spot, error) from None
    admitted[key] = let[spot[1]]
    return let


def admit_value(ready: Ready, spot: tuple[int, str], value: Any, admitted: Admitted, *, fetch: bool) -> Any:
    """Let one file in, once for all the steps that name it; what a reference names is in already."""
    if isinstance(value, list):
        return [admit_value(ready, spot, each, admitted, fetch=fetch) for each in value]
    if any(references.find(value)) or not (fetch or is_ours(value)):
        return value
    key = key_of(str(ready.tool.takes[spot[1]].door), value)
    if key not in admitted:
        try:
            admitted[key] = let_in(ready.tool, {spot[1]: value})[spot[1]]
        except ToolError as error:
            raise blame_item(ready, *spot, error) from None
    return admitted[key]


def is_ours(address: str) -> bool:
    """Tell an address in our bucket from one of other people."""
    return address.startswith("r2://")


def key_of(door: str, value: str | list[str]) -> tuple[str, str]:
    """Name what a door is given."""
    return door, value if isinstance(value, str) else json.dumps(value)


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
