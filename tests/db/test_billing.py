"""The transitions of a job against a remote that bills each run: any order of calls, losses, echoes and deaths."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, data, sampled_from

from db.jobs import ENDED, MOST_ATTEMPTS, Job, Status

SIGNATURE = {"task": "tasks.mask"}

#: Whoever has the claim of an attempt that nobody shall begin.
HOUSE = "house"


@dataclass
class Copy:
    """A job of the remote's: one sending of an attempt."""

    id: str
    attempt_id: UUID
    state: str = "queued"  # then running, done, dead, stopped or aborted

    @property
    def over(self) -> bool:
        return self.state not in {"queued", "running"}


@dataclass
class Remote:
    """Knows no idempotency, forgets, loses answers, and bills each run. Its handlers claim, and keep their outcome."""

    copies: dict[str, Copy] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    claims: dict[UUID, str] = field(default_factory=dict)
    results: dict[UUID, str] = field(default_factory=dict)
    billed: list[UUID] = field(default_factory=list)
    ids: Any = field(default_factory=count)

    def accept(self, attempt_id: UUID) -> str:
        """Take an attempt, as often as it is sent."""
        made = Copy(f"r{next(self.ids)}", attempt_id)
        self.copies[made.id] = made
        self.known.add(made.id)
        return made.id

    def begin(self, copy: Copy) -> None:
        """Let a worker take it: only who gets the claim touches the GPU."""
        if self.claims.setdefault(copy.attempt_id, copy.id) != copy.id:
            copy.state = "aborted"
            return
        copy.state = "running"
        self.billed.append(copy.attempt_id)

    def stop(self, remote_id: str) -> None:
        """Cancel one of its jobs."""
        if (copy := self.copies.get(remote_id)) and not copy.over:
            copy.state = "stopped"

    def in_state(self, *states: str) -> list[Copy]:
        return [copy for copy in self.copies.values() if copy.state in states]


class House(RuleBasedStateMachine):
    """Workers, a watcher, a caller and a remote; each rule is one step of one of them, whoever died before it."""

    @initialize(begun=booleans())
    def accept(self, *, begun: bool) -> None:
        self.job = Job(id=uuid4(), tool="mask", status="pending", stage="queued", given={}, sends=0, progress=0.0)
        self.remote = Remote()
        self.word: str | None = None
        self.result: Any = None
        self.answers: list[tuple[UUID, str]] = []
        self.told: list[tuple[UUID, str]] = []
        self.stops: set[UUID] = set()
        if begun:
            self.start()
            self.reach()

    def reach(self) -> None:
        """Hand the attempt over, and hear at once that it was taken."""
        self.job.submitted(self.remote.accept(self.live().id))

    # What our side does.
    @precondition(lambda self: self.job.status == "pending")
    @rule()
    def start(self) -> None:
        self.job.start({}, {}, SIGNATURE, "an-endpoint")

    @precondition(lambda self: self.job.attempt and self.job.attempt.remote_id is None)
    @rule(answered=booleans())
    def submit(self, *, answered: bool) -> None:
        """Send the intent, again if need be, but only after a look for who has it; its answer may get lost."""
        attempt = self.live()
        if self.find(attempt.id):
            return
        claimed = self.remote.claims.get(attempt.id)
        remote_id = claimed if claimed not in {None, HOUSE} else self.remote.accept(attempt.id)
        if answered:
            self.answers.append((attempt.id, str(remote_id)))

    @precondition(lambda self: self.answers)
    @rule(draw=data())
    def hear(self, draw: Any) -> None:
        """Take one of the answers, however late it comes."""
        attempt_id, remote_id = self.answers.pop(draw.draw(sampled_from(range(len(self.answers)))))
        if self.job.attempt and self.job.attempt.id == attempt_id:
            self.job.submitted(remote_id)
        else:
            self.job.submitted_late(attempt_id, remote_id)

    @precondition(lambda self: self.job.attempt and self.job.attempt.remote_id)
    @rule()
    def look(self) -> None:
        """Ask how the attempt is, and follow the answer; nothing is concluded from silence."""
        attempt = self.live()
        if self.find(attempt.id):
            return
        if attempt.remote_id in self.remote.known:
            copy = self.remote.copies[str(attempt.remote_id)]
            holder = self.remote.claims.get(attempt.id)
            if copy.state == "dead":
                self.conclude(attempt.id, "failed")
            elif copy.state == "aborted" and holder == HOUSE:
                self.lose()
            elif copy.state == "aborted":
                self.job.submitted(str(holder))
            return
        holder = self.remote.claims.setdefault(attempt.id, HOUSE)
        if holder not in {HOUSE, attempt.remote_id}:
            self.job.submitted(holder)
        elif holder == HOUSE or self.remote.copies[holder].over:  # its time is over
            self.lose()

    def lose(self) -> None:
        if self.job.lose("an-endpoint") is None:
            self.end("failed")

    @rule(status=sampled_from(["cancelled", "expired"]))
    def end(self, status: Status) -> None:
        """End it by our own word."""
        assert self.job.end(status) is (self.word is None)
        self.word = self.word or status

    @precondition(lambda self: any(one.stop_at is not None for one in self.job.attempts))
    @rule(draw=data())
    def stop(self, draw: Any) -> None:
        """Tell the remote of an attempt that we ended, and take its claim."""
        attempt = draw.draw(sampled_from([one for one in self.job.attempts if one.stop_at is not None]))
        holder = self.remote.claims.setdefault(attempt.id, HOUSE)
        for remote_id in {str(attempt.remote_id), holder}:
            self.remote.stop(remote_id)
        attempt.stop_at = None
        self.stops.add(attempt.id)

    @rule()
    def settle(self) -> None:
        self.job.settle()

    @precondition(lambda self: self.job.settled_at is not None)
    @rule()
    def unsettle(self) -> None:
        self.job.unsettle()

    @precondition(lambda self: self.told)
    @rule(draw=data())
    def be_told_again(self, draw: Any) -> None:
        """Hear of an end a second time: a doubled webhook, another watcher, a handler that was thought dead."""
        attempt_id, word = draw.draw(sampled_from(self.told))
        self.conclude(attempt_id, word)

    # What the other side does.
    @precondition(lambda self: self.remote.in_state("queued"))
    @rule(draw=data())
    def begin(self, draw: Any) -> None:
        self.remote.begin(draw.draw(sampled_from(self.remote.in_state("queued"))))

    @precondition(lambda self: self.remote.in_state("running"))
    @rule(draw=data())
    def finish(self, draw: Any) -> None:
        copy = draw.draw(sampled_from(self.remote.in_state("running")))
        copy.state = "done"
        self.remote.results[copy.attempt_id] = copy.id

    @precondition(lambda self: self.remote.in_state("running"))
    @rule(draw=data())
    def die(self, draw: Any) -> None:
        draw.draw(sampled_from(self.remote.in_state("running"))).state = "dead"

    @precondition(lambda self: self.remote.known)
    @rule(draw=data())
    def forget(self, draw: Any) -> None:
        """Forget a job, in whatever state it is; what waits may still be begun by somebody."""
        self.remote.known.discard(draw.draw(sampled_from(sorted(self.remote.known))))

    @precondition(lambda self: self.job.attempt and self.job.attempt.remote_id in self.remote.known)
    @rule()
    def lose_the_live_one(self) -> None:
        """Forget the very job that we ask for next; where that proves it dead, hand the new attempt over."""
        self.remote.known.discard(str(self.live().remote_id))
        self.look()
        if self.job.attempt and self.job.attempt.remote_id is None:
            self.reach()

    def live(self) -> Any:
        return self.job.attempt

    def find(self, attempt_id: UUID) -> bool:
        """Look into the bucket for the outcome; take it if it is there."""
        if attempt_id not in self.remote.results:
            return False
        self.conclude(attempt_id, "completed")
        return True

    def conclude(self, attempt_id: UUID, word: str) -> None:
        """End the job by what an attempt came to, if it is the one under way."""
        self.told.append((attempt_id, word))
        if self.job.attempt is None or self.job.attempt.id != attempt_id:
            return
        status: Status = "completed" if word == "completed" else "failed"
        result = {"of": str(attempt_id)} if status == "completed" else None
        assert self.job.end(status, result=result, outcome={"of": str(attempt_id)})
        self.word, self.result = status, result

    # What always holds.
    @invariant()
    def a_job_ends_once(self) -> None:
        assert (self.job.status if self.job.status in ENDED else None) == self.word
        assert self.job.result == self.result

    @invariant()
    def two_runs_of_one_job_never_live(self) -> None:
        running = self.remote.in_state("running")
        stopping = [one.id for one in self.job.attempts if one.stop_at is not None]
        assert len([copy for copy in running if copy.attempt_id not in stopping]) <= 1
        if self.job.attempt:  # a new attempt is made only once the one before is proved dead
            assert all(copy.attempt_id == self.job.attempt.id for copy in running)

    @invariant()
    def an_attempt_is_billed_once(self) -> None:
        assert len(self.remote.billed) == len(set(self.remote.billed))
        assert len(self.job.attempts) <= MOST_ATTEMPTS

    @invariant()
    def a_finished_result_is_never_computed_again(self) -> None:
        finished = [one.n for one in self.job.attempts if one.id in self.remote.results]
        later = [one.n for one in self.job.attempts if one.id in self.remote.billed]
        assert not finished or max(later) <= min(finished)

    @invariant()
    def what_was_stopped_neither_runs_nor_will(self) -> None:
        for attempt_id in self.stops:
            assert attempt_id in self.remote.claims
            holder = self.remote.claims[attempt_id]
            assert holder == HOUSE or self.remote.copies[holder].over

    @invariant()
    def what_we_end_ourselves_is_stopped_or_about_to_be(self) -> None:
        for attempt in self.job.attempts:
            told = attempt is self.job.attempts[-1] and self.job.outcome is not None
            assert attempt.ended_at is None or told or attempt.stop_at is not None or attempt.id in self.stops

    @invariant()
    def somebody_looks_after_what_goes_on(self) -> None:
        if self.job.attempts and self.job.settled_at is None:
            assert self.job.due_at is not None


TestHouse = House.TestCase
TestHouse.settings = settings(max_examples=200, stateful_step_count=25, deadline=None, database=None, derandomize=True)
