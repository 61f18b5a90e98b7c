"""RunPod as a remote: an attempt is a job on an endpoint; who runs it, and what it came to, is also in the bucket."""

import logging
from functools import cache
from time import monotonic
from typing import Any

from db import runs
from db.jobs import Attempt, Job
from db.runs import Meter
from storage import claims
from tasks.remotes import endpoint, hook, reading
from tasks.remotes.endpoint import Gone
from tasks.remotes.pace import SHORTEST_S, Tokens, pace_s
from tasks.remotes.reading import Elsewhere, Going, Over
from tasks.remotes.remote import Answer, Ended, Lost, Running, Taken, live
from tools import catalog
from tools.errors import Expired

logger = logging.getLogger(__name__)

#: Seconds after which a submission whose answer was lost is looked for, and made again if nobody has the attempt.
UNCLEAR_S = 30

#: An attempt that somebody claimed and that RunPod does not know may still run, so long after its time, in seconds.
GRACE_S = 60

#: The longest that RunPod keeps a job, in seconds.
LONGEST_TTL_S = 7 * 24 * 3600

#: Seconds after which RunPod is asked again when it did not answer, and for which what was learned is believed.
TROUBLE_S, LEARN_S = 5, 60

#: What an attempt came to that nobody began in time.
EXPIRED = reading.empty({}, Expired().problem())


def submit(job: Job) -> Answer:
    """Give the job's attempt to its endpoint; again only under the same id, and when nobody is known to have it."""
    attempt = live(job)
    if attempt.sends and (known := find(attempt)):
        return known
    if not runs.may_send(attempt.id):
        return Running(UNCLEAR_S)
    match endpoint.run(where(attempt), body(job, attempt)):
        case {"id": str(remote_id)}:
            return Taken(remote_id, pace_s(0, usual_s(job.tool)))
        case endpoint.Refused(again_s, why):
            logger.warning("RunPod did not take attempt %s: %s", attempt.id, why)
            runs.give_back(attempt.id)
            return Ended(EXPIRED) if runs.since(attempt.id).late else Running(again_s)
        case reply:
            logger.warning("RunPod may have attempt %s or not: %s", attempt.id, reply)
            return Running(UNCLEAR_S * 2.0 ** min(attempt.sends, 5))


def body(job: Job, attempt: Attempt) -> dict[str, Any]:
    """Write the request: what the handler is told, when RunPod shall give up, and where it tells of the end."""
    limits = job.limits
    told = {"tool": job.tool, "params": job.params, "found": job.found or {}, "timeout_s": limits.timeout_s}
    ttl_s = min(limits.start_within_s + limits.timeout_s, LONGEST_TTL_S)
    asked: dict[str, Any] = {
        "input": {"job_id": str(job.id), "attempt_id": str(attempt.id), **told},
        "policy": {"executionTimeout": limits.timeout_s * 1000, "ttl": ttl_s * 1000},
    }
    address = hook.address(attempt.id)
    return {**asked, "webhook": address} if address else asked


def find(attempt: Attempt) -> Answer | None:
    """Look into the bucket: what it came to, or who has it."""
    if ended := find_end(attempt):
        return ended
    claim = claims.find(str(attempt.id))
    return Taken(claim.remote_id, 1.0) if claim and claim.remote_id else None


def find_end(attempt: Attempt) -> Ended | None:
    """Find in the bucket what an attempt came to; its cost is then what the handler measured."""
    outcome = claims.find_outcome(str(attempt.id))
    return Ended(outcome, Meter(execution_ms=round(outcome.seconds * 1000))) if outcome else None


def look(job: Job) -> Answer:
    """Ask how the attempt is. Where RunPod does not answer, nothing is concluded."""
    attempt = live(job)
    if not tokens(where(attempt)).take():
        return Running(1.0)
    match endpoint.status(where(attempt), str(attempt.remote_id)):
        case endpoint.Refused(again_s, why):
            logger.warning("RunPod does not say how attempt %s is: %s", attempt.id, why)
            return Running(again_s)
        case endpoint.Unclear(why):
            logger.warning("RunPod does not say how attempt %s is: %s", attempt.id, why)
            return Running(TROUBLE_S)
        case Gone():
            return vanished(job, attempt)
        case said:
            return conclude(job, attempt, reading.read(said))


def conclude(job: Job, attempt: Attempt, read: reading.Read) -> Answer:
    """Hold what RunPod says against what is in the bucket."""
    match read:
        case Over(outcome, sure, meter):
            return Ended(outcome if sure else claims.find_outcome(str(attempt.id)) or outcome, meter)
        case Elsewhere(remote_id):
            return elsewhere(attempt, remote_id)
        case Going(progress, stage, begun):
            since, usually_s = runs.hear(attempt.id, progress, stage), usual_s(job.tool)
            if not begun and since.late:
                return forestall(attempt)
            if begun and since.age_s > 2 * usually_s and (ended := find_end(attempt)):
                return ended  # RunPod never heard of it
            return Running(pace_s(since.age_s, usually_s))


def forestall(attempt: Attempt) -> Answer:
    """Expire an attempt that has waited too long: by its claim, so that nobody can begin it, and nothing is paid."""
    claim = claims.take(str(attempt.id), "", "house")
    if claim.remote_id:
        return Running(SHORTEST_S) if claim.remote_id == attempt.remote_id else Taken(claim.remote_id, SHORTEST_S)
    return Ended(EXPIRED) if stop(attempt, str(attempt.remote_id)) else Running(TROUBLE_S)


def elsewhere(attempt: Attempt, remote_id: str) -> Answer:
    """Go on with the job that has the attempt's claim; where nobody has it, none ever will."""
    if ended := find_end(attempt):
        return ended
    if not remote_id and runs.since(attempt.id).late:
        return Ended(EXPIRED)  # it was being forestalled just when it began
    return Taken(remote_id, 1.0) if remote_id and remote_id != attempt.remote_id else Lost()


def vanished(job: Job, attempt: Attempt) -> Answer:
    """Say what became of an attempt that RunPod knew and does not know any more."""
    if ended := find_end(attempt):
        return ended
    claim = claims.take(str(attempt.id), "", "house")
    if claim.remote_id not in {"", attempt.remote_id}:
        return Taken(claim.remote_id, 1.0)
    if not claim.remote_id:
        return Lost()  # nobody has begun it, and now nobody can
    limit_s = job.limits.timeout_s + GRACE_S
    return Lost() if runs.since(attempt.id).silent_s > limit_s else Running(GRACE_S / 2)


def cancel(attempt: Attempt) -> bool:
    """See to it that the attempt neither runs nor will; False if RunPod could not be told."""
    told = attempt.remote_id is None or stop(attempt, attempt.remote_id)
    claim = claims.take(str(attempt.id), "", "house")  # what was sent and is not known to us can now not begin
    return told and (claim.remote_id in {"", attempt.remote_id} or stop(attempt, claim.remote_id))


def stop(attempt: Attempt, remote_id: str) -> bool:
    """Have one job stopped, and ask what it cost."""
    reply = endpoint.cancel(where(attempt), remote_id)
    if isinstance(reply, endpoint.Refused | endpoint.Unclear):
        logger.warning("RunPod did not stop attempt %s yet: %s", attempt.id, reply.why)
        return False
    said = endpoint.status(where(attempt), remote_id)
    if isinstance(said, dict):
        runs.charge(attempt.id, reading.read_meter(said))
    return True


def where(attempt: Attempt) -> str:
    """Say which endpoint does it."""
    return str(attempt.endpoint)


def usual_s(tool: str) -> float:
    """Say how long a tool takes, in seconds: as of late, or a tenth of its time limit. Learned once a minute."""
    known_s, at = learned.get(tool, (None, -LEARN_S))
    if monotonic() - at >= LEARN_S and (known_s := runs.usual_s(tool)) is not None:
        learned[tool] = known_s, monotonic()
    return catalog.find(tool).limits.timeout_s / 10 if known_s is None else known_s


#: How long each tool takes, and when this process learned it.
learned: dict[str, tuple[float | None, float]] = {}


@cache
def tokens(_endpoint: str) -> Tokens:
    """Give the tokens of an endpoint: RunPod answers 2,000 times in 10 s, and other processes ask too."""
    return Tokens(per_s=150, most=300)
