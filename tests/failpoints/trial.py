"""One fault at one point while one thing is asked for; and what became of it all."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from redis import Redis

from db.jobs import Job
from settings import settings
from tests import oracle
from tests.conftest import wait_until
from tests.failpoints import deeds, house, rows
from tests.failpoints.house import House
from tests.failpoints.points import POINTS

#: Seconds in which a point must be come to, and in which all must be quiet after its fault.
PATIENCE_S = 90

#: Seconds between two looks, between two leaps of the database's time, and that somebody stands still at most.
LOOK_S, LEAP_S, STILL_S = 0.05, 0.4, 2.5

#: Points that are come to only when a handler was lost before, or when a job is cancelled that RunPod has queued.
AFTER_A_LOSS, ON_CANCELLING = {"watch.replaced"}, {"api.cancelled", "watch.stops", "watch.stopped"}

#: What a handler cannot do for an error of its own fails the job, in the contract's words.
FAILS = {
    ("gpu.stores", "error"), ("gpu.stores", "away"), ("far.claims", "error"), ("far.claims", "away"),
    ("far.claimed", "error"), ("far.claimed", "away"), ("far.stores", "error"), ("far.stores", "away"),
    ("far.keeps", "error"),
}  # fmt: skip

#: Points that are met by whichever member of a chord comes first.
BY_ANY = {"watch.reopened", "watch.restored"}

#: Which job of a canvas it is about: the film's mask at RunPod, its inpainting by us, the second member of a chord.
TARGETS = {"far": {"chain": 2, "chord": 1}, "near": {"chain": 3, "chord": 1}, "both": {"chain": 3, "chord": 1}}


@dataclass(frozen=True)
class Trial:
    """A point, a fault, and a deed: a tool, `chain`, `chord`, `slow chord`."""

    point: str
    fault: str
    deed: str

    @property
    def title(self) -> str:
        """Name it."""
        return f"{self.point} {self.fault} {self.deed}"

    @property
    def target(self) -> int:
        """Say which job of its canvas meets the fault."""
        return TARGETS[POINTS[self.point].remote].get(self.deed, int(self.deed == "slow chord"))

    @property
    def is_half_sent(self) -> bool:
        """Tell whether a chord's members are not all sent, as their sender has died amid."""
        return (self.point, self.deed) == ("client.remembered", "chord") and self.fault != "stop"

    @property
    def expected(self) -> dict[int, str]:
        """Say how each job ends, by its number."""
        count = deeds.count(self.deed)
        if self.point in ON_CANCELLING:
            return {0: "cancelled"}
        if self.is_half_sent:  # its body never sees a part of them
            return {0: "completed", 1: "completed", 3: "expired"}
        ends = dict.fromkeys(range(count), "completed")
        if (self.point, self.fault) in FAILS:
            behind = range(self.target + 1, count) if self.deed == "chain" else [count - 1]
            ends |= dict.fromkeys(behind, "cancelled") | {self.target: "failed"}
        return ends


@dataclass
class Record:
    """What became of a trial. Times in seconds."""

    trial: Trial
    mark: str
    reached_s: float = 0.0
    recovery_s: float = 0.0
    leaps: int = 0
    violations: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Say it in a line."""
        verdict = "; ".join(self.violations) or "right"
        return f"{self.trial.title:40} {self.reached_s:5.1f} s to it, {self.recovery_s:5.1f} s after it: {verdict}"


def run(town: House, trial: Trial) -> Record:
    """Let the fault be met, wait until all is quiet, and judge."""
    record = Record(trial, str(random.randint(10**8, 10**9 - 1)))
    course = Course(town, record)
    with ThreadPoolExecutor(2) as pool:
        try:
            course.begin(pool)
        finally:
            town.disarm()
            course.free()
        for one in course.asked:
            one.result()
    record.violations += judge(town, record)
    return record


def judge(town: House, record: Record) -> list[str]:
    """Hold all that is known of the jobs against the rules."""
    jobs = rows.read(record.mark)
    shown = rows.show(jobs, record.trial.expected, record.mark, list(town.gateway.cloud.works.values()))
    known = {job.id for job in shown}
    missing = len(record.trial.expected) - len(jobs)
    lost = [f"{missing} of its jobs have no row"] if missing else []
    return lost + oracle.judge(shown, [each for each in town.runs() if each.job_id in known])


class Course:
    """The course of one trial."""

    def __init__(self, town: House, record: Record) -> None:
        self.town, self.record, self.trial, self.mark = town, record, record.trial, record.mark
        self.own = f"{self.mark}{self.trial.target:02}"
        self.armed = self.mark if self.trial.point in BY_ANY else self.own
        self.asked: list[Future[None]] = []
        self.leapt_at = time.monotonic()
        self.standing: int | None = None
        self.once: set[str] = set()

    def begin(self, pool: ThreadPoolExecutor) -> None:
        """Go from the asking to the quiet."""
        began = time.monotonic()
        if self.trial.point in AFTER_A_LOSS:
            self.town.arm("gpu.claimed", self.own, "kill")
        self.town.arm(self.trial.point, self.armed, self.trial.fault)
        with self.town.gateway.having(paused=self.trial.point in ON_CANCELLING):
            self.asked.append(pool.submit(self.ask))
            if not self.reach(partial(self.is_met, pool)):
                self.record.violations.append("the point was never come to")
                return
        met_at = time.monotonic()
        self.record.reached_s = round(met_at - began, 2)
        self.take_note(self.town.met(self.trial.point, self.armed) or 0)
        self.reach(self.is_quiet)  # if it never is, the judge says what is left
        self.record.recovery_s = round(time.monotonic() - met_at, 2)

    def ask(self) -> None:
        """Ask for it."""
        deed = self.trial.deed
        if deed in deeds.OVER_HTTP and not self.trial.point.startswith("client."):
            deeds.ask(deed, self.mark, self.town.world)
        else:
            self.town.ask(deed, self.mark)

    def reach(self, true: Callable[[], object]) -> bool:
        """Wait until it is true, with leaps of the database's time."""
        until = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > until:
                return False
            if time.monotonic() - self.leapt_at > LEAP_S:
                rows.hurry(self.mark)
                self.leapt_at = time.monotonic()
                self.record.leaps += 1
            time.sleep(LOOK_S)
        return True

    def is_met(self, pool: ThreadPoolExecutor) -> bool:
        """Tell whether the fault was met."""
        self.prepare(pool)
        return self.town.met(self.trial.point, self.armed) is not None

    def prepare(self, pool: ThreadPoolExecutor) -> None:
        """Bring about what must happen before the point can be come to."""
        if self.trial.point in AFTER_A_LOSS and (process := self.town.met("gpu.claimed", self.own)):
            self.do_once("lose", partial(self.lose, process))
        if self.trial.point in ON_CANCELLING and (jobs := rows.read(self.mark)) and is_queued(jobs[0]):
            cancel = partial(deeds.cancel, str(jobs[0].id), self.town.world)
            self.do_once("cancel", lambda: self.asked.append(pool.submit(cancel)))
        if self.trial.deed == "slow chord":
            self.do_once("flush", self.flush)

    def do_once(self, name: str, do: Callable[[], object]) -> None:
        """Do it, the first time."""
        if name not in self.once:
            self.once.add(name)
            do()

    def lose(self, process: int) -> None:
        """Let a killed handler be long gone."""
        wait_until(lambda: not house.state(process))
        self.town.tell(process, "died")
        rows.silence(self.own)

    def flush(self) -> None:
        """Let Redis forget the chord, when some of its members have been counted."""
        wait_until(lambda: sum(job.settled_at is not None for job in rows.read(self.mark)) >= 2)
        with Redis.from_url(settings().redis_url.get_secret_value()) as redis:
            redis.flushall()

    def take_note(self, process: int) -> None:
        """See what the fault did to its process, and let time pass for what that process had in hand."""
        if self.trial.fault == "kill":
            wait_until(lambda: not house.state(process))
            self.town.tell(process, "died")
        if self.trial.fault == "stop":
            wait_until(lambda: house.state(process) == "T")
            self.town.tell(process, "stood")
            self.standing, self.free_at = process, time.monotonic() + STILL_S
        if self.trial.point.startswith("gpu."):
            rows.silence(self.own)
        rows.hurry(self.mark)

    def is_quiet(self) -> bool:
        """Tell whether nothing is left to be done, and nobody stands still who might do it."""
        count = rows.count_over(self.mark)
        over = count == len(self.trial.expected)
        if self.trial.is_half_sent and count == 2:
            self.do_once("week", partial(rows.end_wait, self.mark))
        if self.standing:  # at least for a second, which stands for the lease that the database's time leapt over
            left_s = self.free_at - time.monotonic()
            if left_s <= 0 or (over and left_s <= STILL_S - 1):
                self.free()
            return False
        return over and not judge(self.town, self.record)

    def free(self) -> None:
        """Let who stands still go on: it does not know that its time is over."""
        if self.standing:
            self.town.tell(self.standing, "went")
            house.go_on(self.standing)
            self.standing = None
            time.sleep(LEAP_S)


def is_queued(job: Job) -> bool:
    """Tell whether RunPod has the job, and we know it."""
    return any(attempt.remote_id for attempt in job.attempts)
