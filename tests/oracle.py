"""What must hold of jobs when all is quiet: pure, over what the rows say and what the handlers' own ledger says."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise

#: Seconds in which a process that stood still, and was given up meanwhile, hears of it: its next beat tells it.
HEARS_S = 6.0

ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(frozen=True)
class Run:
    """A handler at work, as it wrote it down itself. Times in seconds since the epoch."""

    attempt_id: str
    job_id: str
    began: float
    #: None: nothing was heard of its end.
    ended: float | None = None
    #: It ended with its process.
    died: bool = False
    #: From when till when its process stood still, and could do nothing.
    still: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Attempt:
    """An attempt's row, and what was kept of its outcome."""

    id: str
    n: int
    ended: bool = True
    #: Its remote has still to be told to stop it.
    to_stop: bool = False
    #: It came to a file.
    good: bool = False


@dataclass(frozen=True)
class Job:
    """A job's row with its attempts and events, and how it should have ended."""

    id: str
    status: str
    expected: str = "completed"
    #: Seconds since the epoch.
    ended_at: float | None = None
    events: tuple[str, ...] = ()
    has_result: bool = False
    due: bool = False
    settled: bool = True
    upstream: tuple[str, ...] = ()
    #: The jobs whose results it was handed; each once.
    drawn: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    #: The attempt whose file is its result; empty = not known.
    author: str = ""
    #: The states of the remote's own jobs for it, in RunPod's words.
    remote: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A job and the runs of its handler."""

    job: Job
    runs: tuple[Run, ...] = field(default=())


def judge(jobs: Iterable[Job], runs: Iterable[Run]) -> list[str]:
    """List every violation, one sentence each; an empty list is the proof."""
    jobs, runs = list(jobs), list(runs)
    strays = [run for run in runs if run.job_id not in {job.id for job in jobs}]
    found = [f"run of attempt {run.attempt_id}: its job {run.job_id} is not there" for run in strays]
    for job in jobs:
        case = Case(job, tuple(sorted((run for run in runs if run.job_id == job.id), key=lambda run: run.began)))
        found += [f"{job.id}: {said}" for rule in RULES for said in rule(case)]
    return found


def is_lost(case: Case) -> Iterator[str]:
    """Find a job that has not ended."""
    if case.job.status not in ENDED:
        yield f"lost: it is still {case.job.status}"


def ends_wrongly(case: Case) -> Iterator[str]:
    """Find a job that has ended otherwise than it should."""
    if case.job.status in ENDED and case.job.status != case.job.expected:
        yield f"ended as {case.job.status}, not {case.job.expected}"
    if case.job.has_result != (case.job.status == "completed"):
        yield f"is {case.job.status} with{'' if case.job.has_result else 'out'} a result"


def ends_twice(case: Case) -> Iterator[str]:
    """Find a job whose events do not tell of exactly one end, that of its row."""
    endings = [name for name in case.job.events if name in ENDED]
    if case.job.status in ENDED and endings != [case.job.status]:
        yield f"told of its end as {endings}, but is {case.job.status}"


def is_left(case: Case) -> Iterator[str]:
    """Find what still waits for somebody."""
    if case.job.due:
        yield "is still due"
    if case.job.status in ENDED and not case.job.settled and not is_dropped(case.job):
        yield "is not settled"


def is_dropped(job: Job) -> bool:
    """Tell whether a job was cancelled while it waited for a step before it: then nothing follows, or brings it."""
    return job.status in {"cancelled", "expired"} and bool(job.upstream) and not job.attempts


def leaves_orphans(case: Case) -> Iterator[str]:
    """Find attempts and runs that nobody has an eye on."""
    known = {attempt.id for attempt in case.job.attempts}
    for attempt in case.job.attempts:
        if not attempt.ended:
            yield f"attempt {attempt.id} is still open"
        if attempt.to_stop:
            yield f"attempt {attempt.id} was never stopped at its remote"
    for run in case.runs:
        if run.attempt_id not in known:
            yield f"attempt {run.attempt_id} ran and has no row"
        if run.ended is None:
            yield f"attempt {run.attempt_id} runs still"
    for state in case.job.remote:
        if state in {"IN_QUEUE", "IN_PROGRESS"}:
            yield f"its remote still has it {state}"


def runs_again(case: Case) -> Iterator[str]:
    """Find an attempt that was begun more than once; a remote may do so only when the first has died."""
    counted = Counter(run.attempt_id for run in case.runs)
    for attempt_id in sorted(name for name, count in counted.items() if count > 1):
        *before, _last = [run for run in case.runs if run.attempt_id == attempt_id]
        if not all(run.died for run in before):
            yield f"attempt {attempt_id} ran {counted[attempt_id]} times"


def runs_side_by_side(case: Case) -> Iterator[str]:
    """Find two runs of one job that were at work at one moment."""
    for one, other in combinations(case.runs, 2):
        if any(overlap(a, b) for a in work(one) for b in work(other)):
            yield f"attempts {one.attempt_id} and {other.attempt_id} were at work at once"


def work(run: Run) -> list[tuple[float, float]]:
    """Give the spans in which a run was at work: not while its process stood still, and till it can have heard so."""
    spans, since = [], run.began
    for stopped, gone_on in sorted(run.still):
        spans.append((since, stopped))
        since = gone_on + HEARS_S
    spans.append((since, float("inf") if run.ended is None else run.ended))
    return [span for span in spans if span[0] < span[1]]


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Tell whether two spans have a moment in common."""
    return max(one[0], other[0]) < min(one[1], other[1])


def computes_again(case: Case) -> Iterator[str]:
    """Find work that was begun although the job had its result: it is paid for twice."""
    ended_at, attempts = case.job.ended_at, sorted(case.job.attempts, key=lambda attempt: attempt.n)
    for run in case.runs:
        if case.job.status == "completed" and ended_at is not None and run.began > ended_at:
            yield f"attempt {run.attempt_id} began after the job had completed"
    for attempt, later in pairwise(attempts):
        if attempt.good:
            yield f"attempt {later.n} was made although attempt {attempt.n} had come to a file"


def answers_for_another(case: Case) -> Iterator[str]:
    """Find a job that took the result of an attempt that had been given up for another."""
    last = max(case.job.attempts, key=lambda attempt: attempt.n, default=None)
    if case.job.author and last and case.job.author != last.id:
        yield f"its result is of attempt {case.job.author}, which was given up for {last.id}"


def draws_wrongly(case: Case) -> Iterator[str]:
    """Find a completed job that was not handed each result before it, exactly once."""
    job = case.job
    if job.status == "completed" and sorted(job.drawn) != sorted(job.upstream):
        yield f"was handed {sorted(job.drawn)}, not each of {sorted(job.upstream)} once"


RULES: tuple[Callable[[Case], Iterator[str]], ...] = (
    is_lost, ends_wrongly, ends_twice, is_left, leaves_orphans, runs_again, runs_side_by_side, computes_again,
    answers_for_another, draws_wrongly,
)  # fmt: skip
