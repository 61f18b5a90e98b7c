"""Our own machines as a remote: an attempt is a message on the queue `gpu`, its life is in its row."""

from typing import Any
from uuid import UUID

from db import attempts
from db.jobs import Job
from db.traces import Attempt
from settings import settings
from tasks import brief
from tasks.app import app, sender
from tasks.remotes.remote import Answer, Ended, Lost, Running, Taken, live
from tools.errors import ExecutionTimeout, Expired, ToolError
from tools.outcome import Outcome

#: How soon a running attempt is looked at again, in seconds; its beat is older than half a minute when it is lost.
LOOK_S = 10

#: How soon again where a worker may still have to tell of its end, in seconds.
AWAIT_S = 5

#: Never sooner than this, in seconds: a deadline is not a reason to look without a pause.
SOON_S = 0.5

#: How soon an attempt that nobody took is looked at again, and then ever later, in seconds: the queue may be long.
WAIT_S, LONGEST_WAIT_S = 10, 40

#: The queue's name, and its list's in Redis.
QUEUE = "gpu"


def name(attempt_id: UUID) -> str:
    """Say what the queue calls an attempt: its own id, so that it can be written down before it is submitted."""
    return str(attempt_id)


def first_look_s(job: Job) -> float:
    """Say when to look for the first time, in seconds: soon enough for its deadlines."""
    return min(LOOK_S, job.limits.start_within_s, job.limits.timeout_s)


def submit(job: Job) -> Answer:
    """Put the job's attempt in the queue. To do so again is harmless: it is claimed once."""
    return Taken(name(live(job).id), first_look_s(job)) if put(job) else Running(first_look_s(job))


def put(job: Job) -> bool:
    """Send the message of the job's attempt; False if the broker is away."""
    attempt_id = name(live(job).id)
    options = {"task_id": attempt_id, "argsrepr": brief.of_job(job.id), "kwargsrepr": brief.told({"tool": job.tool})}
    message = app.signature("tasks.handle", args=[attempt_id], options=options)
    return sender.attempt(lambda: message.apply_async(known=True, queue=QUEUE, ignore_result=True))


def length() -> int:
    """Count the messages in the queue; while the broker is away nothing is known to be there."""
    backend: Any = app.backend
    try:
        return int(backend.client.llen(QUEUE))
    except backend.connection_errors:
        return 0


def look(job: Job) -> Answer:
    """Look at the attempt's row. One that nobody took is put in the queue again if some message there is lost."""
    attempt_id = live(job).id
    seen = attempts.look(attempt_id)
    if seen.outcome:
        return Ended(Outcome.model_validate(seen.outcome))
    if seen.waits_s <= 0 and attempts.forestall(attempt_id):
        return Ended(broken_off(Expired(), 0))
    if seen.claimed:
        return watch(job, seen)
    if length() < attempts.count_waiting():  # where as many wait as should, more would only be in the way
        put(job)
    again_s = WAIT_S * 2.0 ** min(seen.sends, 5)
    return Running(max(min(again_s, LONGEST_WAIT_S, seen.waits_s, job.limits.timeout_s), SOON_S))


def watch(job: Job, seen: attempts.Seen) -> Answer:
    """Say how one is that somebody runs. Its worker learns at its next beat that its time is over."""
    left_s = job.limits.timeout_s - seen.ran_s
    if seen.stale:
        return Lost()
    # After the database was away a worker may be through for long and have had no time to say so; and one that is
    # silent may be dead for as long as the job has run: it is lost, and not late, once that can be told.
    if left_s <= 0 and (seen.young or seen.silent):
        return Running(AWAIT_S)
    if left_s <= 0:
        return Ended(broken_off(ExecutionTimeout(), seen.ran_s))
    return Running(max(min(LOOK_S, left_s), SOON_S))


def broken_off(error: ToolError, seconds: float) -> Outcome:
    """Make the outcome of an attempt that we end ourselves."""
    return Outcome(engine=settings().engine, seconds=round(seconds, 3), error=error.problem())


def cancel(attempt: Attempt) -> bool:  # noqa: ARG001 - one form for all remotes
    """Nothing is left to do: the worker reads at its next beat that the row has ended, and a message finds it so."""
    return True
