"""A table of a million ended jobs against an empty one: what a submit, a poll and a list take."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg2
import requests
from sqlalchemy import make_url, text

from benchmarks import stack
from benchmarks.report import Figure
from db.base import engine
from embedded.ports import HOST
from settings import settings

ROWS = int(os.environ.get("ROWS") or 1_000_000)

#: Calls of each kind, after some that warm up.
CALLS, WARM = 400, 50

#: The second database.
FULL = "long_lived"

#: An ended job is as wide as a real one: params, result and outcome, and the two events of its life.
FILL = """
INSERT INTO jobs (id, tool, status, stage, root_id, given, params, result, outcome, progress, created_at, started_at,
                  ended_at, settled_at)
SELECT gen_random_uuid(), 'nap', 'completed', 'completed', gen_random_uuid(), '{"seed": 1}',
       '{"seconds": 0.0, "fate": "", "seed": 1, "image_url": null}',
       json_build_object('success', true, 'image_url', '/api/naps/' || n || '.png', 'r2_path', 'r2://packshot/' || n),
       '{"engine": "gpu", "seconds": 1.0, "params": {}, "file": null, "facts": {}, "warnings": []}',
       1.0, at, at, at, at
FROM (SELECT n, clock_timestamp() - make_interval(secs => n) AS at FROM generate_series(1, %s) AS n) AS told
"""
TELL = """
INSERT INTO events (job_id, name) SELECT id, name FROM jobs, (VALUES ('accepted'), ('completed')) AS told (name)
WHERE settled_at IS NOT NULL
"""


def measure(logs: Path) -> list[Figure]:
    """Measure an API on an empty table and one on a full one, in turns, so that a busy moment hits both."""
    with stack.processes(logs, "million") as starter:
        empty()
        urls = {"empty": settings().database_url.get_secret_value(), "full": copy()}
        fill(urls["full"])
        taken = time_all({name: serve(starter, url) for name, url in urls.items()})
    load = Figure(f"{ROWS} ended jobs: load of the machine", os.getloadavg()[0])
    return [load] + [
        figure
        for kind, (empty_s, full_s) in taken.items()
        for figure in (
            Figure(f"{kind} p95, {ROWS} ended jobs ÷ empty table", full_s / empty_s, "ratio", "<= 1.3"),
            Figure(f"{kind} p95, empty table", empty_s * 1000, "ms"),
        )
    ]


def serve(starter: Any, database_url: str) -> str:
    """Serve our API on a database; gives where."""
    return f"http://{HOST}:{stack.serve(starter, 'benchmarks.ours:create_app()', {'DATABASE_URL': database_url})}"


def empty() -> None:
    """Empty the table."""
    with engine().begin() as connection:
        connection.execute(text("TRUNCATE jobs CASCADE"))


def copy() -> str:
    """Make a second database like ours; gives its URL."""
    engine().dispose()
    ours = make_url(settings().database_url.get_secret_value())
    with connected(ours.set(database="postgres")) as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [ours.database])
        cursor.execute(f"CREATE DATABASE {FULL} TEMPLATE {ours.database}")
    return ours.set(database=FULL).render_as_string(hide_password=False)


@contextmanager
def connected(url: Any) -> Iterator[Any]:
    """Connect, with each statement a transaction of its own."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def fill(url: str) -> None:
    """Fill the table in one go, without a notice for each event, and let PostgreSQL get to know it."""
    with connected(url) as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(FILL, [ROWS])
        for statement in (TELL, "VACUUM ANALYZE jobs", "VACUUM ANALYZE events", "CHECKPOINT"):
            cursor.execute(statement)


def time_all(urls: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Time each kind of call on both, in turns: p95 in seconds."""
    with requests.Session() as session:
        calls = [kinds(session, url) for url in urls.values()]
        return {kind: time_one([each[kind] for each in calls]) for kind in calls[0]}


def kinds(session: requests.Session, url: str) -> dict[str, Callable[[], requests.Response]]:
    """Make the calls of each kind."""
    job_id = session.post(f"{url}/api/nap/async", json={"seed": 1}, timeout=60).json()["job_id"]
    return {
        "submit": lambda: session.post(f"{url}/api/nap/async", json={"seed": 1}, timeout=60),
        "poll": lambda: session.get(f"{url}/api/jobs/{job_id}", timeout=60),
        "list": lambda: session.get(f"{url}/api/jobs", timeout=60),
    }


def time_one(calls: list[Callable[[], requests.Response]]) -> tuple[float, float]:
    """Time one kind of call on both, A B A B …: p95 in seconds."""
    taken: list[list[float]] = [[], []]
    for _ in range(WARM + CALLS):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call().raise_for_status()
            times.append(time.perf_counter() - began)
    few_s, many_s = (quantiles(times[WARM:], n=20)[-1] for times in taken)
    return few_s, many_s


def main() -> None:
    """Measure this alone."""
    from benchmarks import report  # noqa: PLC0415 - only as a program

    with stack.servers() as logs:
        print(report.table(measure(logs)))


if __name__ == "__main__":
    main()
