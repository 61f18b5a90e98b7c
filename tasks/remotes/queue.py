"""Our own machines as a remote: an attempt is a message on the queue `gpu`, its life is in its row."""

from uuid import UUID

from db import attempts
from tasks.app import app, sender
from tasks.remotes.remote import Answer, Ended, Lost, Running
from tools.outcome import Outcome

#: How soon a running attempt is looked at again, in seconds; its beat is older than half a minute when it is lost.
LOOK_S = 10

#: A message that nobody took is sent again after this, and then ever more slowly: it may only wait in a long queue.
WAIT_S, LONGEST_WAIT_S = 10, 600


def name(attempt_id: UUID) -> str:
    """Say what the queue calls an attempt: its own id, so that it can be written down before it is submitted."""
    return str(attempt_id)


def submit(attempt_id: UUID) -> bool:
    """Put the attempt in the queue; False if the broker is away. To do so again is harmless: it is claimed once."""
    message = app.signature("tasks.handle", args=[str(attempt_id)], options={"task_id": name(attempt_id)})
    return sender.attempt(lambda: message.apply_async(known=True, queue="gpu", ignore_result=True))


def look(attempt_id: UUID) -> Answer:
    """Look at the attempt's row. One that nobody took is put in the queue again: its message may be lost."""
    seen = attempts.look(attempt_id)
    if seen.outcome:
        return Ended(Outcome.model_validate(seen.outcome))
    if seen.claimed:
        return Lost() if seen.stale else Running(LOOK_S)
    submit(attempt_id)
    return Running(min(WAIT_S * 2.0**seen.sends, LONGEST_WAIT_S))
