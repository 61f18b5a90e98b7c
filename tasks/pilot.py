"""Sees to many attempts at RunPod at once: each is a few lines in one event loop, the statements are shared."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from db import crowd
from db.crowd import Heard, Named
from db.jobs import Job
from db.runs import Since
from tasks import answers, ending
from tasks.ending import Found
from tasks.metrics import LOOKS
from tasks.remotes import runpod, wire
from tasks.remotes.lore import lore
from tasks.remotes.remote import Answer, Ended, Running, Taken, live
from tasks.remotes.wire import Together
from tools.errors import ToolError, Unavailable

logger = logging.getLogger(__name__)

#: Attempts that one watcher sees to at one moment.
MOST = 400

#: Seconds between the tries to write down what was paid for; all in all less than the lease on it.
PAUSES_S = (0.5, 1, 2, 4, 8)

#: A job with an attempt at RunPod, how old that is, and what the table of the watcher says that it needs.
Due = tuple[Job, Since, Callable[[Job], None]]


class Pilot:
    """Takes what is due at RunPod, and follows each answer to its end."""

    def __init__(self) -> None:
        self.under_way: set[asyncio.Task[None]] = set()
        self.taken = self.done = 0
        self.name = Together(crowd.name)
        self.hear = Together(crowd.hear)
        self.conclude = Together(ending.conclude_all)
        self.send = Together(send_all)

    @property
    def room(self) -> int:
        """How many more it can take."""
        return MOST - (self.taken - self.done)

    def take(self, due: Sequence[Due]) -> None:
        """See to these, from any thread."""
        if due:
            lore.learn({job.tool for job, _, _ in due})
            self.taken += len(due)
            wire.loop().call_soon_threadsafe(self.begin, due)

    def begin(self, due: Sequence[Due]) -> None:
        """Begin with all of them."""
        for one in due:
            task = asyncio.ensure_future(self.see_to(*one))
            self.under_way.add(task)
            task.add_done_callback(self.end)

    def end(self, task: "asyncio.Task[None]") -> None:
        """Make room."""
        self.under_way.discard(task)
        self.done += 1

    def land(self) -> None:
        """Wait until all that has begun is over."""
        wire.wait(self.finish())
        wire.close()

    async def finish(self) -> None:
        """Wait, for as long as a call can take."""
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=wire.TIMEOUT.total)

    async def see_to(self, job: Job, since: Since, do: Callable[[Job], None]) -> None:
        """See to one of them; what goes wrong with it must not end the flight of all the others."""
        try:
            ask = runpod.give(job) if do is answers.submit else runpod.ask(job, since)
            await self.follow(job, await ask)
        except Unavailable as error:  # that it is away was said once; this one is due again, later
            logger.debug("job %s could not be seen to: %s", job.id, error)
        except ToolError as error:
            logger.warning("job %s could not be seen to: %s", job.id, error)
        except Exception:
            logger.exception("job %s could not be seen to", job.id)

    async def follow(self, job: Job, answer: Answer) -> None:
        """Do what an answer asks for: what most of them do, for many at once."""
        attempt = live(job)
        LOOKS.labels(job.tool, type(answer).__name__.lower()).inc()
        match answer:
            case Taken(remote_id, again_s) if attempt.remote_id is None:
                if not await self.note(Named(job.id, attempt.id, remote_id, again_s)):
                    await asyncio.to_thread(answers.note, job.id, attempt.id, remote_id, again_s)
            case Running(again_s, told):
                await self.hear(Heard(job.id, attempt.id, again_s, told))
            case Ended(outcome, meter):
                proved = await asyncio.to_thread(ending.confirm, outcome)
                if ended := await self.conclude(Found(job.id, attempt.id, proved, meter)):
                    await self.send(ended)
            case _:
                await asyncio.to_thread(answers.follow, job, answer)

    async def note(self, named: Named) -> bool:
        """Write down what RunPod calls an attempt, also if the database is away for a while: else it is sent again."""
        for pause_s in PAUSES_S:
            try:
                return await self.name(named)
            except Unavailable as error:
                logger.debug("that attempt %s is %s is yet to be noted: %s", named.attempt_id, named.remote_id, error)
                await asyncio.sleep(pause_s)
        return await self.name(named)


def send_all(jobs: list[Job]) -> list[None]:
    """Send ended jobs on."""
    for job in jobs:
        ending.send(job)
    return [None] * len(jobs)
