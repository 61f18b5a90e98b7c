"""What must hold of every run, whatever went wrong: pure functions that name each violation."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.case import ENDED, Case, group
from tests.chaos.lines import Line
from tests.chaos.order import Step

#: Our end and RunPod's, and two clocks of one machine, may be so far apart, in seconds.
SLACK_S = 0.05

#: A server that was hit is itself again after so many seconds.
MEND_S = 20.0

#: What was hit so many seconds before an attempt is of no consequence to its bill.
SETTLE_S = 5.0

#: A handler's own count and RunPod's may be so far apart, in milliseconds.
FORGIVEN_MS = 1000.0

#: In what a job ends whose file the bucket did not take, within its budget.
STORAGE = "storage_failed"


@dataclass(frozen=True)
class Violation:
    """One thing that should not be."""

    #: As the page on reliability counts them.
    invariant: str
    what: str
    whom: str
    why: str = ""


Check = Callable[[Case], Iterator[Violation]]


def check_ends(case: Case) -> Iterator[Violation]:
    """I1: whatever was asked for was taken in at last, has a row, and ends as it should."""
    taken = {line["order"] for line in case.taken_in.values()}
    for order in case.orders:
        if order.n not in taken:
            yield Violation("I1", "never taken in", str(order.n))
    for job_id in case.taken_in:
        if job_id not in case.jobs:
            yield Violation("I1", "lost", job_id, "taken in, and there is no row")
    for job_id, job in case.jobs.items():
        if is_abandoned(case, job):
            continue
        if job["status"] not in ENDED:
            yield Violation("I1", "lost", job_id, f"still {job['status']}, {job['stage']}")
        elif not is_right(case, job):
            yield Violation("I1", "wrong end", job_id, f"{job['status']} {job['code'] or ''}")


def is_abandoned(case: Case, job: Line) -> bool:
    """Tell whether a job is the body of a chord whose sending failed amid: nobody was told that it was taken in."""
    waits = (job["status"], job["stage"]) == ("pending", "waiting_for_upstream")
    return waits and job["id"] not in case.taken_in and any(one not in case.jobs for one in job["members"])


def is_right(case: Case, job: Line) -> bool:
    """Tell whether a job ended as its order says, or as something on its way allows."""
    order = case.order_of(job)
    if order is None:
        return False
    step = order.steps[int(job["seed"]) % 10]
    match job["status"], job["code"]:
        case "cancelled", "cancelled":
            return order.cancel_after_s is not None
        case "cancelled", "upstream_failed":
            return any(case.jobs[one]["status"] != "completed" for one in job["upstream"])
        case status, code:
            return (status, code or "") == step.ends or is_excused(case, job, step)


def is_excused(case: Case, job: Line, step: Step) -> bool:
    """Tell whether a job ended otherwise for want of the bucket, after three dead attempts, or as nobody could look."""
    match job["status"], job["code"]:
        case "failed", code if code == STORAGE:
            return case.hurt(job["created"], job["ended"], "seaweedfs", margin_s=MEND_S)
        case "failed", "poisoned":
            return len(case.attempts[str(job["id"])]) >= 3
        case "completed", None:
            late = step.ends == ("failed", "execution_timeout")
            return late and case.hurt(job["created"], job["ended"], "watch1", "watch2", "postgres")
        case _:
            return False


def check_endings(case: Case) -> Iterator[Violation]:
    """I1: a job ends once."""
    endings = Counter(event["job"] for event in case.evidence.events if event["name"] in ENDED)
    for job_id, job in case.jobs.items():
        if job["status"] in ENDED and endings[job_id] != 1:
            yield Violation("I1", "two endings", job_id, f"{endings[job_id]} events of an end")


def check_keys(case: Case) -> Iterator[Violation]:
    """I2: what was asked for once, or again under its key, is one job."""
    for seed, rows in group(case.evidence.jobs, "seed").items():
        if len(rows) > 1:
            yield Violation("I2", "made twice", seed, str([row["id"] for row in rows]))
    for seed, told in group([line for line in case.evidence.history if line["what"] == "ok"], "seed").items():
        if len({line["job_id"] for line in told}) > 1:
            yield Violation("I2", "two ids", seed, "one key was answered with two jobs")


def check_live(case: Case) -> Iterator[Violation]:
    """I3: no two runs of one job are alive at once, and of an attempt that was sent twice one runs."""
    for job_id, runs in case.runs.items():
        for before, after in pairwise(runs):
            if after.began < before.last - SLACK_S:
                yield Violation(
                    "I3", "doubled live", job_id, f"{before.last - after.began:.2f} s of {before} and {after}"
                )


def check_again(case: Case) -> Iterator[Violation]:
    """I3: what is finished is not computed again."""
    for job_id, runs in case.runs.items():
        done = min((case.finished[run.attempt] for run in runs if run.attempt in case.finished), default=None)
        for run in runs:
            if done is not None and run.began > done + SLACK_S:
                yield Violation("I3", "recomputed", job_id, f"finished at {done:.2f}, and {run}")


def check_bill(case: Case) -> Iterator[Violation]:
    """I3: what RunPod was paid for an ended attempt is written down, and neither more nor, where all was well, less."""
    paid = {attempt: sum(line["paid_ms"] for line in told) for attempt, told in
            group([line for line in case.evidence.ledger if line["what"] == "ended"], "attempt").items()}  # fmt: skip
    completed = {line["attempt"] for line in case.evidence.ledger if line.get("status") == "COMPLETED"}
    for row in case.evidence.attempts:
        attempt, told_ms = str(row["id"]), row["execution_ms"]
        if (
            row["endpoint"]
            and told_ms is None
            and attempt in completed
            and case.jobs[row["job"]]["status"] == "completed"
        ):
            yield Violation("I3", "unbilled", attempt, f"{paid[attempt]} ms were paid")
        if row["endpoint"] and attempt in paid and told_ms is not None:
            yield from compare(case, row, int(told_ms), int(paid[attempt]))


def compare(case: Case, row: Line, told_ms: int, paid_ms: int) -> Iterator[Violation]:
    """Hold what is charged against what was paid: a handler's own count stands in where RunPod was not to be asked."""
    calm = not case.hurt(row["created"], row["ended"] or row["created"], margin_s=SETTLE_S)
    said = f"{told_ms} ms, and {paid_ms} ms were paid"
    if told_ms > paid_ms + (1000 * SLACK_S if calm else FORGIVEN_MS):
        yield Violation("I3", "overbilled", str(row["id"]), said)
    if (calm and told_ms < paid_ms - FORGIVEN_MS) or (told_ms == 0 and paid_ms > 1000 * SLACK_S):
        yield Violation("I3", "underbilled", str(row["id"]), said)


def check_files(case: Case) -> Iterator[Violation]:
    """I4: the file of each completed job is in the bucket, as its row says, and can be read."""
    objects = {line["key"]: line for line in case.evidence.objects}
    for job_id, job in case.jobs.items():
        if job["status"] != "completed":
            continue
        file = job["file"] or {"r2_path": "r2://nowhere/none", "size": -1, "sha256": ""}
        found = objects.get(str(file["r2_path"]).split("/", 3)[3])
        if not found or (found["size"], found["sha256"]) != (file["size"], file["sha256"]) or not found["decodes"]:
            yield Violation("I4", "file", job_id, f"{file['r2_path']} is {found}")


def check_order(case: Case) -> Iterator[Violation]:
    """I5: a completed job was done, was handed each result before it once, and began only when those had ended."""
    for job_id, job in case.jobs.items():
        runs = case.runs.get(job_id, [])
        if job["status"] == "completed" and not any(run.whole for run in runs):
            yield Violation("I5", "never done", job_id)
        if job["status"] == "completed" and sorted(job["drawn"]) != sorted(job["upstream"]):
            yield Violation("I5", "handed wrongly", job_id, f"{job['drawn']}, not each of {job['upstream']} once")
        before = [case.jobs[one]["ended"] for one in job["upstream"]]
        if runs and any(ended is None or runs[0].began < ended - SLACK_S for ended in before):
            yield Violation(
                "I5", "out of order", job_id, f"began at {runs[0].began:.2f}, those before ended at {before}"
            )


def check_orphans(case: Case) -> Iterator[Violation]:
    """I6: nothing is left over: no live attempt, no job that is due, no message, no object of nobody."""
    for job in case.evidence.jobs:
        if job["status"] in ENDED and job["due"]:
            yield Violation("I6", "orphan", job["id"], "ended, and somebody must still look after it")
    for row in case.evidence.attempts:
        if row["ended"] is None or row["stopping"]:
            yield Violation("I6", "orphan", row["id"], "an attempt that goes on, or is to be stopped")
    for line in case.evidence.left:
        if line["messages"]:
            yield Violation("I6", "orphan", line["queue"], f"{line['messages']} messages")
    for line in case.evidence.objects:
        attempt = line["key"].split("/")[-1].split(".")[0]
        if attempt not in case.job_of:
            yield Violation("I6", "orphan", line["key"], "an object of no attempt")
    yield from check_remote(case)


def check_remote(case: Case) -> Iterator[Violation]:
    """I6: nothing goes on at RunPod."""
    gone = {line["id"] for line in case.evidence.ledger if line["what"] in {"ended", "forgotten"}}
    for line in case.evidence.ledger:
        if line["what"] == "accepted" and line["id"] not in gone:
            yield Violation("I6", "orphan", line["attempt"], f"{line['id']} goes on at RunPod")


def check_deliveries(case: Case) -> Iterator[Violation]:
    """I7: each end is heard of by whoever registered for it, and what is heard again has the same id."""
    heard = group(case.evidence.heard, "job")
    for job_id, job in case.jobs.items():
        told = heard.get(job_id, [])
        if job["status"] in ENDED and not told:
            yield Violation("I7", "never heard of", job_id, str(job["status"]))
        if len({line["id"] for line in told}) > 1:
            yield Violation("I7", "heard of under two ids", job_id, str(told))
        if any(line["type"] != f"job.{job['status']}" for line in told):
            yield Violation("I7", "heard of otherwise", job_id, f"{job['status']}, and {told}")


def check_polls(case: Case) -> Iterator[Violation]:
    """I8: what is shown of a job never goes back, and its end never changes."""
    seen = group([line for line in case.evidence.history if line["what"] == "poll" and line["http"] == 200], "job_id")
    for job_id, looks in seen.items():
        for before, after in pairwise(sorted(looks, key=lambda line: line["asked"])):
            if went_back(before, after):
                yield Violation("I8", "went back", job_id, f"{before} then {after}")


def went_back(before: Line, after: Line) -> bool:
    """Tell whether the later of two looks shows less than the earlier."""
    if before["status"] in ENDED:
        return any(before[name] != after[name] for name in ("status", "result", "error"))
    ranks = ["pending", "processing"]
    return (after["status"] in ranks[: ranks.index(before["status"])]) or after["progress"] < before["progress"]


def check_answers(case: Case) -> Iterator[Violation]:
    """I9: no 5xx but 503, and that only when a server was away; and nobody believes a liar."""
    for line in case.evidence.history:
        code = int(line.get("http") or line.get("status") or 0) if line["what"] in {"poll", "fail", "cancel"} else 0
        if code >= 500 and not (code == 503 and was_away(case, float(line["at"]))):
            whom = str(line.get("job_id") or line.get("order"))
            yield Violation("I9", "answer", whom, f"{code} {line.get('body', '')}")
    for fault in case.evidence.faults:
        if fault["name"] == "forge" and fault["told"] != 404:
            yield Violation("I9", "liar", fault["part"], f"a forged webhook was answered with {fault['told']}")


def was_away(case: Case, at: float) -> bool:
    """Tell whether a server that an answer needs was hit shortly before."""
    return case.hurt(at - MEND_S, at, "postgres", "seaweedfs", margin_s=MEND_S)


def check_secrets(case: Case) -> Iterator[Violation]:
    """I11: no secret is in a log."""
    for line in case.evidence.leaks:
        yield Violation("I11", "secret", line["log"], line["secret"])


CHECKS: tuple[Check, ...] = (
    check_ends, check_endings, check_keys, check_live, check_again, check_bill, check_files, check_order, check_orphans,
    check_deliveries, check_polls, check_answers, check_secrets,
)  # fmt: skip


def judge(case: Case) -> list[Violation]:
    """Find all violations."""
    return [violation for check in CHECKS for violation in check(case)]
