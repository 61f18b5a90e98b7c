"""A table of a million ended jobs against an empty one: what a submit, a poll and a list take."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

import requests
from sqlalchemy import text

from benchmarks import stack
from benchmarks.report import Figure
from db.base import engine
from embedded.ports import HOST

ROWS = int(os.environ.get("ROWS") or 1_000_000)

#: Calls of each kind, after some that warm up.
CALLS, WARM = 400, 50

#: An ended job is as wide as a real one: params, result and outcome, and the two events of its life.
FILL = """
INSERT INTO jobs (id, tool, status, stage, root_id, given, params, result, outcome, progress, created_at, started_at,
                  ended_at, settled_at)
SELECT gen_random_uuid(), 'nap', 'completed', 'completed', gen_random_uuid(), '{"seed": 1}',
       '{"seconds": 0.0, "fate": "", "seed": 1, "image_url": null}',
       json_build_object('success', true, 'image_url', '/api/naps/' || n || '.png', 'r2_path', 'r2://packshot/' || n),
       '{"engine": "gpu", "seconds": 1.0, "params": {}, "file": null, "facts": {}, "warnings": []}',
       1.0, at, at, at, at
FROM (SELECT n, clock_timestamp() - make_interval(secs => n) AS at FROM generate_series(1, :rows) AS n) AS told
"""
TELL = """
INSERT INTO events (job_id, name) SELECT id, name FROM jobs, (VALUES ('accepted'), ('completed')) AS told (name)
WHERE settled_at IS NOT NULL
"""


def measure(logs: Path) -> list[Figure]:
    """Measure the API on an empty table and on a full one."""
    with stack.processes(logs, "million") as starter:
        url = f"http://{HOST}:{stack.serve(starter, 'benchmarks.ours:create_app()')}"
        before = time_all(url)
        fill()
        after = time_all(url)
    load = Figure(f"{ROWS} ended jobs: load of the machine", os.getloadavg()[0])
    return [load] + [
        figure
        for name, few_s in before.items()
        for figure in (
            Figure(f"{name} p95, {ROWS} ended jobs ÷ empty table", after[name] / few_s, "ratio", "<= 1.3"),
            Figure(f"{name} p95, empty table", few_s * 1000, "ms"),
        )
    ]


def empty() -> None:
    """Empty the table."""
    with engine().begin() as connection:
        connection.execute(text("TRUNCATE jobs CASCADE"))


def fill() -> None:
    """Fill the table in one go, without a notice for each event, and let PostgreSQL get to know it."""
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET session_replication_role = replica"))
        for statement in (FILL, TELL):
            connection.execute(text(statement), {"rows": ROWS} if ":rows" in statement else {})
        connection.execute(text("VACUUM ANALYZE jobs"))
        connection.execute(text("VACUUM ANALYZE events"))
        connection.execute(text("CHECKPOINT"))
        connection.invalidate()  # nobody else shall get it with these settings


def time_all(url: str) -> dict[str, float]:
    """Time each kind of call: p95 in seconds."""
    with requests.Session() as session:
        job_id = session.post(f"{url}/api/nap/async", json={"seed": 1}, timeout=60).json()["job_id"]
        kinds: dict[str, Callable[[], requests.Response]] = {
            "submit": lambda: session.post(f"{url}/api/nap/async", json={"seed": 1}, timeout=60),
            "poll": lambda: session.get(f"{url}/api/jobs/{job_id}", timeout=60),
            "list": lambda: session.get(f"{url}/api/jobs", timeout=60),
        }
        return {name: time_one(call) for name, call in kinds.items()}


def time_one(call: Callable[[], requests.Response]) -> float:
    """Time one kind of call: p95 in seconds."""
    taken = []
    for _ in range(WARM + CALLS):
        began = time.perf_counter()
        call().raise_for_status()
        taken.append(time.perf_counter() - began)
    return quantiles(taken[WARM:], n=20)[-1]


def main() -> None:
    """Measure this alone."""
    from benchmarks import report  # noqa: PLC0415 - only as a program

    with stack.servers() as logs:
        print(report.table(measure(logs)))


if __name__ == "__main__":
    main()
