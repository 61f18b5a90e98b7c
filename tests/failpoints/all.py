"""All faults at all points with all deeds: `make failpoints`. A line for each, a total, and JSON in var/failpoints."""

import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import report, stack
from benchmarks.report import Figure
from tests.failpoints import plan
from tests.failpoints.trial import Record, Trial

#: Only trials whose title has one of these in it, by commas; of these, one in so many; and what shuffles them.
ONLY, EVERY, SEED = os.environ.get("ONLY", ""), int(os.environ.get("EVERY") or 1), int(os.environ.get("SEED") or 1)

FOLDER = Path("var", "failpoints")


def main() -> int:
    """Try them all; 1 if one of them went wrong."""
    began, records = time.monotonic(), list[Record]()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with stack.servers() as logs:
        for n, (far, trials) in enumerate(plan.everything().items()):
            random.Random(SEED).shuffle(trials)
            if meant := [one for one in trials if any(words in one.title for words in ONLY.split(","))][::EVERY]:
                records += try_all(logs, f"house-{n}", far, meant)
    found = figures(records, time.monotonic() - began)
    path = report.write("failpoints", found)
    print(f"\n{report.table(found)}\n\nwritten to {path}, and each trial to {FOLDER / 'trials.json'}")
    return int(any(record.violations for record in records))


def try_all(logs: Path, name: str, far: Sequence[str], trials: Sequence[Trial]) -> list[Record]:
    """Try some in one house, and judge all of them once more when it has become quiet."""
    from tests.failpoints import house, trial  # noqa: PLC0415 - settings are read only now

    records: list[Record] = []
    (logs / name).mkdir()
    with house.built(logs / name, far) as town:
        for one in trials:
            records.append(trial.run(town, one))
            print(records[-1].line(), flush=True)
            keep(name, records)
        for record in records:
            record.violations += [f"later: {said}" for said in trial.judge(town, record) if not record.violations]
        keep(name, records)
        keep_logs(logs / name, name)
    return records


def keep(name: str, records: Sequence[Record]) -> None:
    """Write down what became of each."""
    (FOLDER / f"{name}.json").write_text(json.dumps([asdict(record) for record in records], indent=1) + "\n")


def keep_logs(logs: Path, name: str) -> None:
    """Keep what the programs said."""
    kept = FOLDER / name
    kept.mkdir(exist_ok=True)
    for log in logs.glob("*.log"):
        (kept / log.name).write_bytes(log.read_bytes())


def figures(records: Sequence[Record], seconds: float) -> list[Figure]:
    """Make the figures of it all."""
    recoveries = sorted(record.recovery_s for record in records) or [0.0]
    return [
        Figure("points", len({record.trial.point for record in records})),
        Figure("trials", len(records)),
        Figure("trials that went wrong", sum(bool(record.violations) for record in records), "", "<= 0"),
        Figure("violations", sum(len(record.violations) for record in records), "", "<= 0"),
        Figure("from the fault till all is quiet, p50", recoveries[len(recoveries) // 2], "s"),
        Figure("from the fault till all is quiet, p99", recoveries[len(recoveries) * 99 // 100], "s", "<= 60"),
        Figure("all in all", seconds, "s"),
    ]


if __name__ == "__main__":
    sys.exit(main())
