"""The whole house with RunPod as its remote: API, main worker, watcher, gateway, and workers of theirs."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

import requests
from sqlalchemy import func, select, update

from db import life
from db.base import transaction
from db.jobs import Job
from db.traces import Attempt
from storage.address import parse
from storage.bucket import bucket
from tests.api.asking import post, serve
from tests.canaries import HOOKS
from tests.conftest import Process, Processes, wait_until
from tests.gateway.cloud import Work
from tests.gateway.gateway import Gateway
from tests.tasks.house import House, read, wait_for_end

#: Longer than a submission is looked for before it is made again.
LONG_S = 400

#: Seconds between two leaps of the database's time.
LEAP_EVERY_S = 2.0

seeds = itertools.count(1)


class Far:
    """What a test asks of it."""

    def __init__(self, starter: Processes, gateway: Gateway, env: Mapping[str, str] | None = None) -> None:
        self.starter, self.gateway = starter, gateway
        self.env = {**gateway.customer_env("nap"), "HOOK_SECRET": HOOKS, **(env or {})}
        self.site = serve(starter, self.env)
        self.env["PUBLIC_URL"] = self.site
        self.house = House(starter, env=self.env, parts=("main", "watch"))
        self.workers: dict[str, Process] = {}

    def hire(self, *names: str) -> None:
        """Start workers, and wait until each asks for a job."""
        for name in names:
            env = {**self.gateway.worker_env(name), "NAP_DIARY": str(self.house.diary)}
            self.workers[name] = self.starter.start("python", "-m", "tests.gateway.worker", env=env)
        for name in names:
            self.workers[name].wait_for(partial(self.gateway.cloud.lines.__contains__, name), 60)

    def kill(self, name: str) -> None:
        """Kill a worker and its child."""
        self.workers.pop(name).kill()

    def lose_file(self, r2_path: str) -> None:
        """Let a file vanish from the bucket."""
        bucket().delete(parse(r2_path).key)

    def call(self, **params: Any) -> "Call":
        """Call nap, over HTTP."""
        seed = next(seeds)
        answer = post(f"{self.site}/api/nap/async", {"seed": seed, **params})
        assert answer.status_code == 202, answer.text
        return Call(self, answer.json()["job_id"], seed)


class Call:
    """One job, at both ends."""

    def __init__(self, far: Far, job_id: str, seed: int) -> None:
        self.far, self.job_id, self.seed = far, job_id, seed

    @property
    def works(self) -> list[Work]:
        """RunPod's jobs for it."""
        return self.far.gateway.works(self.seed)

    @property
    def work(self) -> Work:
        """RunPod's only job for it."""
        (work,) = self.works
        return work

    @property
    def attempts(self) -> list[Attempt]:
        """Our attempts at it."""
        with transaction() as session:
            known = select(Attempt).where(Attempt.job_id == UUID(self.job_id)).order_by(Attempt.n)
            return list(session.scalars(known))

    @property
    def now(self) -> dict[str, Any]:
        """The job as a poll shows it."""
        return read(self.job_id)

    def is_with(self, *states: str) -> bool:
        """Tell whether RunPod has its job, in one of these states."""
        return any(work.status in states for work in self.works)

    def wait(self, *states: str, patience_s: float = 30) -> Work:
        """Wait until RunPod has its job in one of these states."""
        wait_until(lambda: self.is_with(*states), patience_s, lambda: repr((self.now, self.works)))
        return next(work for work in self.works if work.status in states)

    def end(self, patience_s: float = 30) -> dict[str, Any]:
        """Wait for the end."""
        return wait_for_end(self.job_id, patience_s=patience_s)[0]

    @property
    def began(self) -> bool:
        """Whether the handler has begun."""
        return self.far.house.written("began")[f"seed-{self.seed}"] > 0

    def cancel(self) -> None:
        """Cancel it, over HTTP."""
        requests.post(f"{self.far.site}/api/jobs/{self.job_id}/cancel", timeout=10).raise_for_status()

    def hurry(self, true: Callable[[], object], patience_s: float = 30) -> None:
        """Let the database's time leap until it is true.

        Seldom, as what is due then is done at once: a leap under a submission would end its lease, which outlasts any
        call to RunPod, and the attempt would be handed over once more.
        """
        leapt_at = 0.0

        def is_true() -> object:
            nonlocal leapt_at
            if monotonic() - leapt_at > LEAP_EVERY_S:
                self.age(LONG_S)
                leapt_at = monotonic()
            return true()

        wait_until(is_true, patience_s, lambda: repr((self.now, self.works)))

    def age(self, seconds: float) -> None:
        """Let so much of the database's time pass for it."""
        ago, job_id = func.make_interval(0, 0, 0, 0, 0, 0, seconds), UUID(self.job_id)
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(due_at=Job.due_at - ago))
            past = {"beat_at": Attempt.beat_at - ago, "created_at": Attempt.created_at - ago}
            session.execute(
                update(Attempt).where(Attempt.job_id == job_id).values(**past, stop_at=Attempt.stop_at - ago)
            )
            life.call_watchers(session)

    def ran_once(self) -> bool:
        """Tell whether RunPod accepted each attempt once, and the handler ran once in all."""
        accepted = {self.far.gateway.accepted()[str(one.id)] for one in self.attempts}
        return accepted == {1} and self.far.house.written("began")[f"seed-{self.seed}"] == 1


@contextmanager
def built(starter: Processes, env: Mapping[str, str] | None = None) -> Iterator[Far]:
    """Build it; workers end before the gateway, since nothing holds them back when it is away."""
    gateway = Gateway()
    gateway.start()
    bucket.cache_clear()
    try:
        yield Far(starter, gateway, env)
    finally:
        starter.end()
        gateway.stop()
        bucket.cache_clear()
