"""Forget what nobody needs any more: rows by policy, and what attempts left in the bucket."""

import logging
from collections.abc import Callable
from functools import partial

from db import upkeep
from db.lifeline import lifeline
from db.upkeep import Remains
from outage import first_line
from settings import settings
from storage import claims
from storage.address import parse
from storage.bucket import bucket
from tools import catalog
from tools.errors import ToolError

logger = logging.getLogger(__name__)

#: Attempts that are swept at once: some calls to the bucket for each.
SWEEPS = 50


#: Chores that failed when they were to be done last: that is said once.
FAILING: set[str] = set()


def tidy() -> bool:
    """Do a little of everything; True if there is more to do."""
    given = settings()
    chores: dict[str, Callable[[], int]] = {
        "idempotency keys": upkeep.forget_keys,
        "watchers": upkeep.forget_watchers,
        "events": partial(upkeep.forget_events, given.keep_events_days),
        "deliveries": partial(upkeep.forget_deliveries, given.keep_events_days),
    }
    if given.keep_jobs_days:
        chores["jobs"] = partial(upkeep.forget_jobs, given.keep_jobs_days)
        chores["flows"] = partial(upkeep.forget_flows, given.keep_jobs_days)
    done = [do(what, chore) for what, chore in chores.items()]
    swept = do("files", sweep)
    if sum(done) + swept:
        logger.info("forgot %s rows, and what %s attempts had left", sum(done), swept)
    return max(done) >= upkeep.BATCH or swept >= SWEEPS


def do(what: str, chore: Callable[[], int]) -> int:
    """Do one chore; one that fails keeps none of the others from being done. Returns how much of it was done."""
    try:
        done = chore()
    except Exception as error:
        if lifeline.outage:  # that was said, and the others cannot be done either
            raise
        level = logging.DEBUG if what in FAILING else logging.WARNING
        why = first_line(error.__cause__ or error)
        logger.log(level, "%s are not forgotten: %s", what, why, exc_info=not isinstance(error, ToolError))
        FAILING.add(what)
        return 0
    if what in FAILING:
        FAILING.discard(what)
        logger.warning("%s are forgotten again", what)
    return done


def sweep() -> int:
    """Remove what ended attempts left in the bucket, but for the files that are results. Returns how many attempts."""
    taken = upkeep.claim_sweeps(SWEEPS)
    for remains in taken:
        for key in left_by(remains):
            bucket().delete(key)
        upkeep.swept([remains.attempt_id])
    return len(taken)


def left_by(remains: Remains) -> list[str]:
    """Name what an attempt left: its claim and outcome, and its files unless they are the result."""
    name = str(remains.attempt_id)
    marks = [claims.claim_key(name), claims.outcome_key(name)] if remains.endpoint else []
    if remains.tool not in catalog.TOOLS or (remains.r2_path and name in parse(remains.r2_path).key):
        return marks
    return [*marks, *bucket().find(f"{catalog.find(remains.tool).prefix}{name}")]
