"""Batches: one tool, many jobs, asked for at once."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import composing
from api.bodies import read_json
from api.flows import read_id, show_list
from api.jobs import LONGEST_POLL, read_count
from api.preferences import read_preference
from api.submitting import waiting
from api.wishes import read_wish
from db import flow_pages
from db.course import AskedFlow
from tools import catalog
from tools.contract import Tool
from tools.errors import InvalidInput, ToolError
from tools.flow import MOST_JOBS, Fault, Step, blame, raise_all
from tools.plan import Ready
from tools.refusal import refuse
from tools.texts import Text

blueprint = Blueprint("batches", __name__, url_prefix="/api/batches")

#: The jobs of a batch come after single ones.
BATCHED = 2


class Batch(BaseModel):
    """A batch, as it is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Text | None = Field(None, min_length=1, max_length=200, description="What you call it.")
    tool: str = Field(max_length=64, description="The tool that all its jobs run.", examples=["generate"])
    base: dict[str, Any] = Field({}, description="Params that all have.", examples=[{"model_id": 1}])
    items: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        max_length=MOST_JOBS,
        description="The params of each job, beside those of base.",
        examples=[[{"prompt": "TOK_HANDBAG on sand at sunset"}, {"prompt": "TOK_HANDBAG in the snow"}]],
    )
    matrix: dict[str, list[Any]] | None = Field(
        None, min_length=1, description="Values by param: a job for each combination of them."
    )


@blueprint.post("")
def create_batch() -> Response:
    """Run one tool for each item, or for each combination of a matrix."""
    body, preference = read_json(), read_preference(0)
    batch_id, replayed = composing.submit("batches", body, lambda: make(body))
    return composing.answer(batch_id, preference, replayed=replayed, kind="batch")


def make(body: dict[str, Any]) -> AskedFlow:
    """Check a batch, and let its files in. Raises InvalidInput, which names every bad item."""
    wanted, wish = read_wish(body, "batch")
    try:
        batch = Batch.model_validate(wanted)
    except ValidationError as error:
        raise refuse(Batch, error) from None
    tool = catalog.find(batch.tool)
    items = list(list_items(batch))
    raise_all([fault for n, item in enumerate(items) for fault in check_item(tool, n, item)])
    step = Step.model_validate({"id": "item", "tool": tool.name, "count": len(items), "on_error": "skip"})
    ready = Ready(step, tool, [], items, where="/items/{}")
    steps = composing.admit([ready], {})
    return AskedFlow(uuid4(), steps, wanted, batch.name, kind="batch", priority=BATCHED, wish=wish)


def list_items(batch: Batch) -> Iterator[dict[str, Any]]:
    """List what each job is told."""
    if (batch.items is None) == (batch.matrix is None):
        raise InvalidInput.at("items", "give items or matrix, and one of them only.")
    if batch.items is not None:
        yield from ({**batch.base, **item} for item in batch.items)
        return
    matrix = batch.matrix or {}
    size = 1
    for values in matrix.values():
        size *= len(values)
    if not 1 <= size <= MOST_JOBS:
        raise InvalidInput.at("matrix", f"this makes {size} jobs: a batch has 1 to {MOST_JOBS}.")
    yield from ({**batch.base, **dict(zip(matrix, values, strict=True))} for values in product(*matrix.values()))


def check_item(tool: Tool, n: int, item: dict[str, Any]) -> Iterator[Fault]:
    """Check what one job is told."""
    try:
        told, _ = tool.part(item)
        tool.check(told)
    except ToolError as error:
        yield from blame(f"/items/{n}", f"items.{n}", error)


@blueprint.get("")
def list_batches() -> Response:
    """List batches, the newest first."""
    return show_list("batch")


@blueprint.get("/<batch_id>")
def get_batch(batch_id: str) -> Response:
    """Show a batch; with `?wait=n`, when it has ended or n seconds are over."""
    return jsonify(waiting().wait(read_id(batch_id), read_count("wait", 0, LONGEST_POLL), read))


@blueprint.post("/<batch_id>/cancel")
def cancel_batch(batch_id: str) -> Response:
    """Cancel what is left of a batch."""
    found = UUID(read(read_id(batch_id))["batch_id"])
    composing.cancel(found)
    return jsonify(read(found))


def read(batch_id: UUID) -> dict[str, Any]:
    """Read a batch. Raises FlowNotFound."""
    return flow_pages.read(batch_id, "batch")
