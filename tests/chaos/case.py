"""One run's evidence, put together job by job, so that a judge can ask simple questions of it."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from tests.chaos.evidence import Evidence
from tests.chaos.lines import Line
from tests.chaos.order import Order, of_seed

ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(frozen=True)
class Run:
    """One run of a handler, from its beginning to its last sign of life."""

    attempt: str
    name: str
    began: float
    last: float
    #: It came to its end by itself.
    whole: bool


@dataclass(frozen=True)
class Case:
    """The evidence, and what was asked for."""

    evidence: Evidence
    orders: list[Order]

    @cached_property
    def jobs(self) -> dict[str, Line]:
        """The rows of jobs by id."""
        return {str(row["id"]): row for row in self.evidence.jobs}

    @cached_property
    def attempts(self) -> dict[str, list[Line]]:
        """The rows of attempts by job, the first first."""
        return group(sorted(self.evidence.attempts, key=lambda row: row["n"]), "job")

    @cached_property
    def job_of(self) -> dict[str, str]:
        """The job of each attempt."""
        return {str(row["id"]): str(row["job"]) for row in self.evidence.attempts}

    @cached_property
    def runs(self) -> dict[str, list[Run]]:
        """The runs of handlers by job; by attempt where no row knows of it."""
        told: dict[str, list[Line]] = group(self.evidence.diary, "run")
        found: dict[str, list[Run]] = defaultdict(list)
        for name, lines in told.items():
            attempt, times = str(lines[0]["attempt"]), [float(line["at"]) for line in lines]
            whole = any(line["what"] == "ended" for line in lines)
            found[self.job_of.get(attempt, attempt)].append(Run(attempt, name, min(times), max(times), whole))
        return {job: sorted(runs, key=lambda run: run.began) for job, runs in found.items()}

    @cached_property
    def finished(self) -> dict[str, float]:
        """When each attempt that left a file was through: its handler had answered RunPod, or its row has the file."""
        answered = {line["attempt"]: float(line["at"]) for line in reversed(self.evidence.ledger)
                    if line["what"] == "answered" and line["file"]}  # fmt: skip
        rows = {str(row["id"]) for row in self.evidence.attempts if row["file"]}
        whole = {run.attempt: run.last for runs in self.runs.values() for run in reversed(runs) if run.whole}
        return {**{attempt: whole[attempt] for attempt in rows & whole.keys()}, **answered}

    @cached_property
    def taken_in(self) -> dict[str, Line]:
        """What customers were told is taken in, by job id: its first such line."""
        return {str(line["job_id"]): line for line in reversed(self.evidence.history) if line["what"] == "ok"}

    def order_of(self, job: Line) -> Order | None:
        """Find the order that a row came of."""
        n = of_seed(int(job["seed"] or 0))[0]
        return self.orders[n] if n < len(self.orders) else None

    def hurt(self, since: float, until: float, *parts: str, margin_s: float = 0.0) -> bool:
        """Tell whether one of these parts, or any if none is named, was hit in that time."""
        return any(
            (not parts or fault["part"] in parts)
            and float(fault["at"]) <= until
            and float(fault["until"]) + margin_s >= since
            for fault in self.evidence.faults
        )


def group(told: list[Line], by: str) -> dict[str, list[Line]]:
    """Put lines together by one of their values."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in told:
        found[str(line[by])].append(line)
    return dict(found)
