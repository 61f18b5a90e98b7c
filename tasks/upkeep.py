"""Forget what nobody needs any more: rows by policy, and what attempts left in the bucket."""

import logging

from db import upkeep
from db.upkeep import Remains
from settings import settings
from storage import claims
from storage.address import parse
from storage.bucket import bucket
from tools import catalog

logger = logging.getLogger(__name__)

#: Attempts that are swept at once: some calls to the bucket for each.
SWEEPS = 50


def tidy() -> bool:
    """Do a little of everything; True if there is more to do."""
    given = settings()
    done = [upkeep.forget_keys(), upkeep.forget_watchers(), upkeep.forget_events(given.keep_events_days)]
    done.append(upkeep.forget_deliveries(given.keep_events_days))
    if given.keep_jobs_days:
        done += [upkeep.forget_jobs(given.keep_jobs_days), upkeep.forget_flows(given.keep_jobs_days)]
    swept = sweep()
    if sum(done) + swept:
        logger.info("forgot %s rows, and what %s attempts had left", sum(done), swept)
    return max(done) >= upkeep.BATCH or swept >= SWEEPS


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
