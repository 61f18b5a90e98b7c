"""RunPod as a remote: an attempt is a job on an endpoint; who runs it, and what it came to, is also in the bucket."""

import asyncio
import logging
from functools import cache
from typing import Any

from db import runs
from db.jobs import Job
from db.runs import Meter, Since, Told
from db.traces import Attempt
from storage import claims
from tasks.remotes import endpoint, hook, reading, wire
from tasks.remotes.endpoint import Gone
from tasks.remotes.lore import lore
from tasks.remotes.pace import SHORTEST_S, Tokens, pace_s
from tasks.remotes.reading import Elsewhere, Going, Over
from tasks.remotes.remote import Answer, Ended, Lost, Running, Taken, live
from tasks.remotes.wire import Together
from tools import catalog
from tools.errors import Expired

logger = logging.getLogger(__name__)

#: Seconds after which a submission whose answer was lost is looked for, and made again if nobody has the attempt.
UNCLEAR_S = 30

#: An attempt that somebody claimed and that RunPod does not know may still run, so long after its time, in seconds.
GRACE_S = 60

#: The longest that RunPod keeps a job, in seconds.
LONGEST_TTL_S = 7 * 24 * 3600

#: Seconds after which RunPod is asked again when it did not answer.
TROUBLE_S = 5

#: What an attempt came to that nobody began in time.
EXPIRED = reading.empty({}, Expired().problem())


def submit(job: Job) -> Answer:
    """Give the job's attempt to its endpoint; again only under the same id, and when nobody is known to have it."""
    lore.learn([job.tool])
    return wire.wait(give(job))


def look(job: Job) -> Answer:
    """Ask how the attempt is. Where RunPod does not answer, nothing is concluded."""
    lore.learn([job.tool])
    return wire.wait(ask(job, runs.since(live(job).id)))


async def give(job: Job) -> Answer:
    """Submit, beside many others."""
    attempt = live(job)
    if attempt.sends and (known := await asyncio.to_thread(find, attempt)):
        return known
    if not sends(where(attempt)).take():
        return Running(1.0)
    if not await may_send(attempt.id):
        return Running(UNCLEAR_S)
    match await endpoint.run(where(attempt), body(job, attempt)):
        case {"id": str(remote_id)}:
            return Taken(remote_id, wait_s(job, attempt, 0))
        case endpoint.Refused(again_s, why):
            logger.warning("RunPod did not take attempt %s: %s", attempt.id, why)
            return await asyncio.to_thread(give_back, attempt, again_s)
        case reply:
            logger.warning("RunPod may have attempt %s or not: %s", attempt.id, reply)
            return Running(UNCLEAR_S * 2.0 ** min(attempt.sends, 5))


def give_back(attempt: Attempt, again_s: float) -> Answer:
    """Let it be sent again, unless it has waited for too long."""
    runs.give_back(attempt.id)
    return Ended(EXPIRED) if runs.since(attempt.id).late else Running(again_s)


def send_any(attempts: list[Any]) -> list[bool]:
    """Take the right to send, for many at once."""
    mine = runs.may_send(*attempts)
    return [one in mine for one in attempts]


may_send = Together(send_any)


def body(job: Job, attempt: Attempt) -> dict[str, Any]:
    """Write the request: what the handler is told, when RunPod shall give up, and where it tells of the end."""
    limits = job.limits
    told = {"tool": job.tool, "params": job.params, "found": job.found or {}, "timeout_s": limits.timeout_s}
    ttl_s = min(limits.start_within_s + limits.timeout_s, LONGEST_TTL_S)
    asked: dict[str, Any] = {
        "input": {"job_id": str(job.id), "attempt_id": str(attempt.id), **told, **lead_back(job)},
        "policy": {"executionTimeout": limits.timeout_s * 1000, "ttl": ttl_s * 1000},
    }
    address = hook.address(attempt.id)
    return {**asked, "webhook": address} if address else asked


def lead_back(job: Job) -> dict[str, str]:
    """Say what leads from a line that the handler logs back to the request."""
    ids = {"flow_id": job.flow_id, "request_id": job.request_id}
    return {name: str(value) for name, value in ids.items() if value is not None}


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


async def ask(job: Job, since: Since) -> Answer:
    """Look, beside many others."""
    attempt = live(job)
    if not tokens(where(attempt)).take():
        return Running(1.0)
    match await endpoint.status(where(attempt), str(attempt.remote_id)):
        case endpoint.Refused(again_s, why):
            logger.warning("RunPod does not say how attempt %s is: %s", attempt.id, why)
            return Running(again_s)
        case endpoint.Unclear(why):
            logger.warning("RunPod does not say how attempt %s is: %s", attempt.id, why)
            return Running(TROUBLE_S)
        case Gone():
            return await asyncio.to_thread(vanished, job, attempt)
        case said:
            read = reading.read(said)
            if known := plain(job, attempt, read, since):
                return known
            return await asyncio.to_thread(conclude, job, attempt, read, since)


def plain(job: Job, attempt: Attempt, read: reading.Read, since: Since) -> Answer | None:
    """Say what RunPod's word alone proves; None where the bucket must be asked, too."""
    match read:
        case Over(outcome, sure=True, meter=meter):
            lore.see(job.tool, since.age_s)
            return Ended(outcome, meter)
        case Going(progress, stage, begun) if not (is_silent(job, since) if begun else since.late):
            return Running(wait_s(job, attempt, since.age_s), Told(progress, stage))
        case _:
            return None


def is_silent(job: Job, since: Since) -> bool:
    """Tell whether an attempt has run for so long that RunPod may not have heard of its end."""
    return since.age_s > 2 * usual_s(job.tool)


def conclude(job: Job, attempt: Attempt, read: reading.Read, since: Since) -> Answer:
    """Hold what RunPod says against what is in the bucket."""
    match read:
        case Over(outcome, _, meter):
            return Ended(claims.find_outcome(str(attempt.id)) or outcome, meter)
        case Elsewhere(remote_id):
            return elsewhere(attempt, remote_id)
        case Going(begun=False):
            return forestall(attempt)
        case Going() as going:
            told = Told(going.progress, going.stage)
            return find_end(attempt) or Running(wait_s(job, attempt, since.age_s), told)


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
    """Have one job stopped, and ask what it cost; False while either is not sure."""
    reply = wire.wait(endpoint.cancel(where(attempt), remote_id))
    if isinstance(reply, endpoint.Refused | endpoint.Unclear):
        logger.warning("RunPod did not stop attempt %s yet: %s", attempt.id, reply.why)
        return False
    said = wire.wait(endpoint.status(where(attempt), remote_id))
    if isinstance(said, dict):
        runs.charge(attempt.id, reading.read_meter(said))
    return isinstance(said, dict | Gone)


def where(attempt: Attempt) -> str:
    """Say which endpoint does it."""
    return str(attempt.endpoint)


def wait_s(job: Job, attempt: Attempt, age_s: float) -> float:
    """Say in how many seconds an attempt of this age is looked at again."""
    lore.meet(job.tool, age_s)
    oldest_s = lore.oldest_s[job.tool] if lore.usual_s(job.tool) is None else None
    told = hook.address(attempt.id) is not None
    return pace_s(age_s, usual_s(job.tool), lore.under_way, oldest_s=oldest_s, told=told)


def usual_s(tool: str) -> float:
    """Say how long a tool takes, in seconds: as of late, or a tenth of its time limit."""
    known_s = lore.usual_s(tool)
    return catalog.find(tool).limits.timeout_s / 10 if known_s is None else known_s


@cache
def tokens(_endpoint: str) -> Tokens:
    """Give the tokens of an endpoint: RunPod answers 2,000 times in 10 s, and other processes ask too."""
    return Tokens(per_s=150, most=300)


@cache
def sends(_endpoint: str) -> Tokens:
    """Give the tokens of an endpoint for what it is given: RunPod takes 1,000 in 10 s."""
    return Tokens(per_s=80, most=150)
