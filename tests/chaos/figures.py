"""What a run comes to in numbers: how long it took to recover, and how often what went wrong."""

from collections import Counter
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from tests.chaos.case import ENDED, Case, group
from tests.chaos.invariants import STORAGE, Violation
from tests.chaos.lines import Line

#: What a job of each tool needs on its way, besides.
PATH = {
    "near": {"main1", "main2", "watch1", "watch2", "valkey", "postgres", "seaweedfs", "gpu", "child"},
    "far": {"main1", "main2", "watch1", "watch2", "valkey", "postgres", "seaweedfs", "gateway"},
}

#: The longest that 99 of 100 jobs may take to recover, in seconds.
MOST_S = 60.0

#: What must not happen even once, by the word of the line.
NEVER = {
    "lost": ("lost", "wrong end"), "doubled live": ("doubled live",), "recomputed": ("recomputed",),
    "two endings": ("two endings", "went back"), "orphans": ("orphan",),
}  # fmt: skip


#: Failures with a reason outside of the house: the bucket was away for too long, or three attempts were killed.
EXCUSES = {STORAGE, "poisoned"}


def ready_at(case: Case, job: Line) -> float:
    """Say since when a job could be done: when it was taken in, or those before it had ended."""
    return max([float(job["created"]), *(float(case.jobs[one]["ended"] or 0) for one in job["upstream"])])


def touched_at(case: Case, job: Line) -> float | None:
    """Say when the last blow was over that met something on a job's way, before its end; None: there was none."""
    since, until, path = ready_at(case, job), float(job["ended"]), PATH[job["tool"]]
    blows = [
        min(float(fault["until"]), until) for fault in case.evidence.faults
        if is_blow(fault) and fault["part"] in path and float(fault["at"]) <= until and float(fault["until"]) >= since
    ]  # fmt: skip
    forgotten = {str(row["id"]) for row in case.attempts.get(job["id"], [])}
    blows += [float(line["at"]) for line in case.evidence.ledger
              if line["what"] == "forgotten" and line["attempt"] in forgotten and line["at"] <= until]  # fmt: skip
    return max(blows, default=None)


def is_blow(fault: Line) -> bool:
    """Tell whether it surely met the part itself, and not one of the calls to it."""
    return str(fault["name"]).split()[0] in {"kill", "stop", "flush", "disconnect"}


def idle_s(case: Case, job: Line, since: float) -> float:
    """Count the seconds from then to a job's end in which no handler was at it."""
    until = float(job["ended"])
    work = sum(max(0.0, min(run.last, until) - max(run.began, since)) for run in case.runs.get(job["id"], []))
    return max(0.0, until - since - work)


def recoveries(case: Case) -> list[float]:
    """Measure each job that was met: the seconds from the last blow on its way to its end, without its own work."""
    met = ((job, touched_at(case, job)) for job in ended(case))
    return [idle_s(case, job, max(at, ready_at(case, job))) for job, at in met if at is not None]


def waits(case: Case) -> list[float]:
    """Measure all jobs: the seconds between taken in and ended, without their own work."""
    return [idle_s(case, job, ready_at(case, job)) for job in ended(case)]


def ended(case: Case) -> list[Line]:
    """Give the jobs that ended by themselves: not cancelled by their caller, nor for want of those before them."""
    return [job for job in case.evidence.jobs if job["status"] in ENDED - {"cancelled"}]


def percentile(values: Sequence[float], percent: int) -> float:
    """Read a percentile; 0 of nothing."""
    if len(values) < 2:
        return max(values, default=0.0)
    return min(quantiles(values, n=100)[percent - 1], max(values))


def summarise(case: Case, violations: Sequence[Violation], seed: int, wall_s: float) -> dict[str, Any]:
    """Make the summary of a run."""
    whats = Counter(violation.what for violation in violations)
    recovery, waiting = recoveries(case), waits(case)
    blows = Counter(str(fault["name"]) for fault in case.evidence.faults)
    return {
        "seed": seed, "rows": len(case.evidence.jobs), "taken_in": len(case.taken_in),
        "kills": sum(count for name, count in blows.items() if name.startswith("kill ")),
        **{name.replace(" ", "_"): sum(whats[what] for what in kinds) for name, kinds in NEVER.items()},
        "excused": sum(job["code"] in EXCUSES for job in case.evidence.jobs),
        "recovery_p50_s": percentile(recovery, 50), "recovery_p99_s": percentile(recovery, 99),
        "recovery_max_s": max(recovery, default=0.0), "waited_p50_s": percentile(waiting, 50),
        "waited_p99_s": percentile(waiting, 99), "wall_s": wall_s,
        "ends": Counter(f"{job['status']} {job['code'] or ''}".strip() for job in case.evidence.jobs),
        "attempts": Counter(f"{len(rows)} attempts" for rows in case.attempts.values()),
        "answers": Counter(str(line["what"]) for line in case.evidence.history),
        "suspicions": Counter(str(line["what"]) for line in case.evidence.suspicions), "blows": blows,
        "heard_again": sum(len(told) > 1 for told in group(case.evidence.heard, "job").values()),
        "ran_again": sum(len(runs) > 1 for runs in case.runs.values()),
        "accepted_again": sum(count > 1 for count in accepted(case).values()), **bill(case),
        "violations": [vars(violation) for violation in violations],
    }  # fmt: skip


def accepted(case: Case) -> Counter[str]:
    """Count by attempt how often RunPod took it in."""
    return Counter(str(line["attempt"]) for line in case.evidence.ledger if line["what"] == "accepted")


def bill(case: Case) -> dict[str, float]:
    """Sum what RunPod was paid, and what our rows say of it, in seconds."""
    paid = sum(int(line["paid_ms"]) for line in case.evidence.ledger if line["what"] == "ended")
    told = sum(int(row["execution_ms"] or 0) for row in case.evidence.attempts if row["endpoint"])
    return {"paid_s": paid / 1000, "recorded_s": told / 1000}


def passed(summary: dict[str, Any]) -> bool:
    """Tell whether all held."""
    return not summary["violations"] and summary["recovery_p99_s"] <= MOST_S


def line(summary: dict[str, Any]) -> str:
    """Put a run into one line."""
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(summary["blows"].items()))
    never = " · ".join(f"{summary[name.replace(' ', '_')]} {name}" for name in NEVER)
    other = len(summary["violations"]) - sum(summary[name.replace(" ", "_")] for name in NEVER)
    told = (
        f"{'ok' if passed(summary) else 'BROKEN'}: seed {summary['seed']}", f"{summary['taken_in']} jobs",
        f"{summary['kills']} kills ({kinds})", never, f"{other} other violations", f"{summary['excused']} excused",
        f"recovery p50 {summary['recovery_p50_s']:.1f} s, p99 {summary['recovery_p99_s']:.1f} s",
        f"wall {summary['wall_s']:.0f} s",
    )  # fmt: skip
    return " · ".join(told)
