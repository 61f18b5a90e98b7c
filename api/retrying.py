"""Do a flow once more, and keep what is not touched: evaluate, tweak, retry."""

from difflib import get_close_matches
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import composing
from api.composing import Admitted, key_of
from db import flow_pages
from db.course import AskedFlow, Kept
from tools import flow, plan
from tools.errors import InvalidInput
from tools.flow import FlowRunning
from tools.plan import Ready
from tools.refusal import refuse


class Retry(BaseModel):
    """What shall be different."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    from_step: str | None = Field(None, description="Run this step again, and all behind it.")
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="New values of params, by step; null takes one away. Under inputs: those of the flow."
    )


def make(flow_id: UUID, body: dict[str, Any], priority: int) -> AskedFlow:
    """Check a retry, and find what it keeps. Raises FlowNotFound, FlowRunning, InvalidInput."""
    retry = read(body)
    old, old_steps, statuses = flow_pages.read_asked(flow_id)
    if old.ended_at is None:
        raise FlowRunning
    check_steps(retry, [step.name for step in old_steps])
    asked, overrides = change(old.asked, retry)
    admitted = remember(plan.make(flow.parse(old.asked)), {step.name: step.items for step in old_steps})
    steps = composing.admit(plan.make(flow.parse(asked)), admitted)
    kept = keep(steps, {step.name: step for step in old_steps}, statuses, retry.from_step)
    changes = {"from_step": retry.from_step, "overrides": overrides}
    return AskedFlow(
        uuid4(), steps, asked, old.name, priority=priority, kept=kept, retry_of=flow_id, changes=changes
    )  # fmt: skip


def read(body: dict[str, Any]) -> Retry:
    """Read the body."""
    try:
        return Retry.model_validate(body)
    except ValidationError as error:
        raise refuse(Retry, error) from None


def check_steps(retry: Retry, names: list[str]) -> None:
    """Refuse what names no step of the flow."""
    named = [("from_step", retry.from_step), *((f"overrides/{name}", name) for name in retry.overrides)]
    for pointer, name in named:
        if name is not None and name not in names and (pointer, name) != ("overrides/inputs", flow.INPUTS):
            near = get_close_matches(name, names, n=2, cutoff=0.5) or names[:20]
            advice = f"there is no step {name} in this flow. Did you mean {' or '.join(near)}?"
            raise InvalidInput.at(pointer, advice, suggestions=near)


def change(asked: dict[str, Any], retry: Retry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the flow anew with what is different, and list that, as [before, after]."""
    inputs, gone = merge(asked.get(flow.INPUTS, {}), retry.overrides.get(flow.INPUTS, {}))
    changes = {flow.INPUTS: gone} if gone else {}
    steps = []
    for step in asked["steps"]:
        told, differs = merge(step.get("with", {}), retry.overrides.get(step["id"], {}))
        steps.append({**step, "with": told})
        changes |= {step["id"]: differs} if differs else {}
    return {**asked, flow.INPUTS: inputs, "steps": steps}, changes


def merge(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lay new values over old ones; and list those that differ."""
    merged = {name: value for name, value in {**old, **new}.items() if value is not None}
    return merged, {name: [old.get(name), value] for name, value in new.items() if old.get(name) != value}


def remember(steps: list[Ready], stored: dict[str, list[dict[str, Any]]]) -> Admitted:
    """Find what the doors made of the files then: nothing is fetched twice, or looked for once more."""
    return {
        key_of(kind.door, item[name]): let[name]
        for ready in steps
        for item, let in zip(ready.items, stored[ready.step.id], strict=True)
        for name, kind in ready.tool.takes.items()
        if kind.door and isinstance(let.get(name), str)
    }


def keep(
    steps: list[Ready], old: dict[str, Any], statuses: dict[UUID, str], from_step: str | None
) -> dict[str, Kept]:  # fmt: skip
    """Say what is kept of each step: all of one that is not touched, and of one that failed, what completed."""
    kept: dict[str, Kept] = {}
    for ready in steps:
        before = old[ready.step.id]
        same = (ready.items, ready.spread) == (before.items, before.spread)
        if ready.step.id == from_step or not same or not all(over(kept.get(name)) for name in ready.before):
            continue
        if before.status in {"completed", "skipped"}:
            kept[ready.step.id] = Kept(list(before.jobs), before.status, before.missed)
        else:
            done = [job_id if statuses.get(job_id) == "completed" else None for job_id in before.jobs]
            kept[ready.step.id] = Kept(done)
    return kept


def over(kept: Kept | None) -> bool:
    """Tell whether a step is kept whole."""
    return kept is not None and kept.status != "pending"
