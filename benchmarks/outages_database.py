"""PostgreSQL stopped, frozen, killed under load: what every route answers meanwhile, and how soon all goes on."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import requests

from benchmarks import stack
from benchmarks.report import Figure
from embedded.child import Child
from tests.api.asking import serve
from tests.conftest import Process, wait_until
from tests.tasks.house import House
from tests.town import Town

#: For how long it is away, in seconds; callers who ask meanwhile, and how often each; and callers of the load.
AWAY_S, ASKERS, ROUNDS, LOADERS = 15, 8, 2, 4

PATIENCE_S = 90

Answer = tuple[float, requests.Response]


def measure(town: Town, logs: Path) -> list[Figure]:
    """Take PostgreSQL away in three ways."""
    ways: dict[str, Callable[[], Child | None]] = {
        "stopped": partial(town.stop, "postgres", signal.SIGINT),
        "frozen": partial(town.freeze, "postgres"),  # type: ignore[dict-item]  # None: there is nothing to start
        "killed": partial(town.stop, "postgres", signal.SIGKILL),
    }
    with stack.processes(logs, "database") as starter:
        house, site = House(starter), serve(starter)
        api = starter.started[-1]
        return [one for how, go in ways.items() for one in lose(town, house, site, api, (how, go))]


def lose(
    town: Town, house: House, site: str, api: Process, way: tuple[str, Callable[[], Child | None]]
) -> list[Figure]:
    """Take it away with a job at work, callers who wait, and, where it is killed, load."""
    how, go = way
    running = submit(site, seconds=6)
    wait_until(lambda: house.written("began")[attempt_of(site, running)])
    warm(site, running)
    threads, over, taken = count_threads(api), Event(), [running]
    load = LOADERS if how == "killed" else 0
    with ThreadPoolExecutor(ASKERS + 2 + LOADERS) as pool:
        loading = [pool.submit(press, site, over, taken) for _ in range(load)]
        waiting = [pool.submit(ask, call) for call in waits(site, running)]
        time.sleep(1)
        gone, gone_at = go(), time.monotonic()
        answers = [one for each in pool.map(partial(ask_all, site), range(ASKERS)) for one in each]
        waited = [one.result() for one in waiting]
        time.sleep(max(0.0, AWAY_S - (time.monotonic() - gone_at)))
        town.supervisor.start(gone) if gone else town.thaw()
        back_at = time.monotonic()
        over.set()
        odd = sum(one.result() for one in loading)
    first_s = wait_for_first(town, site, taken, back_at)
    wait_until(lambda: town.has_settled(running), PATIENCE_S)
    finished_s = time.monotonic() - back_at
    wait_until(lambda: all(town.has_settled(job_id) for job_id in taken), PATIENCE_S)
    time.sleep(1)
    name = f"PostgreSQL {how}"
    wrong = [answer for _, answer in answers if answer.status_code != 503 or "Retry-After" not in answer.headers]
    return [
        Figure(f"{name}: the slowest answer of {len(answers)}", max(s for s, _ in answers), "s", "<= 2"),
        Figure(f"{name}: answers other than 503 with Retry-After", len(wrong) + odd, "", "<= 0"),
        Figure(f"{name}: a waiting caller is answered after", max(s for s, _ in waited) - 1, "s", "<= 2"),
        Figure(f"{name}: threads of the API, more than before", count_threads(api) - threads, "", "<= 4"),
        Figure(f"{name}: back until the first new job is done", first_s, "s", "<= 15"),
        Figure(f"{name}: back until the job that ended meanwhile is", finished_s, "s", "<= 15"),
        Figure(f"{name}: the most runs of one attempt", max(house.written("began").values()), "", "<= 1"),
    ]


def warm(site: str, job_id: str) -> None:
    """Let the API have as many threads as it will need."""
    callers = ASKERS + 2 + LOADERS
    with ThreadPoolExecutor(callers) as pool:
        waits = [f"{site}/api/jobs/{job_id}?wait=1"] * callers
        list(pool.map(partial(requests.get, timeout=30), waits))


def submit(site: str, **params: Any) -> str:
    """Submit a job."""
    answer = requests.post(f"{site}/api/nap/async", json=params, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["job_id"])


def attempt_of(_site: str, job_id: str) -> str:
    """Find a job's attempt."""
    from tests.tasks.test_recovery import attempts_of  # noqa: PLC0415 - it reads the environment

    return next((str(one.id) for one in attempts_of(job_id)), "")


def waits(site: str, job_id: str) -> list[Callable[[], requests.Response]]:
    """Wait for a job in both ways that there are."""
    return [
        lambda: requests.get(f"{site}/api/jobs/{job_id}?wait=60", timeout=90),
        lambda: requests.post(f"{site}/api/nap", json={"seconds": 30}, timeout=90),
    ]


def ask_all(site: str, _n: int) -> list[Answer]:
    """Ask every route that needs the database."""
    got = ["jobs", f"jobs/{uuid4()}", f"jobs/{uuid4()}?wait=5", f"nap/{uuid4()}", "models", "models/1", "templates",
           f"templates/{uuid4()}", f"training-status/{uuid4()}", f"naps/{uuid4()}.png"]  # fmt: skip
    posted: list[tuple[str, Any, dict[str, str]]] = [
        ("nap", {}, {}), ("nap/async", {}, {}), ("nap", {}, {"Prefer": "wait=5"}),
        ("nap", {}, {"Idempotency-Key": "k"}),
        ("templates", {"name": "n", "prompt": "p"}, {}), (f"jobs/{uuid4()}/cancel", None, {}),
    ]  # fmt: skip
    calls = [partial(requests.get, f"{site}/api/{path}", timeout=60) for path in got]
    calls += [
        partial(requests.post, f"{site}/api/{path}", json=body, headers=headers, timeout=60)
        for path, body, headers in posted
    ]
    return [ask(call) for _ in range(ROUNDS) for call in calls]


def ask(call: Callable[[], requests.Response]) -> Answer:
    """Ask, and take the time."""
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def press(site: str, over: Event, taken: list[str]) -> int:
    """Submit without a pause until it is over; gives how many answers were neither 202 nor 503."""
    odd = 0
    while not over.is_set():
        answer = requests.post(f"{site}/api/nap/async", json={}, timeout=60)
        if answer.status_code == 202:
            taken.append(answer.json()["job_id"])
        odd += answer.status_code not in {202, 503}
        time.sleep(0.1)
    return odd


def wait_for_first(town: Town, site: str, taken: list[str], back_at: float) -> float:
    """Submit as soon as the API takes it, and wait for the end; seconds since the database was back."""
    wait_until(lambda: requests.get(f"{site}/api/jobs", timeout=30).status_code == 200, PATIENCE_S)
    taken.append(submit(site))
    wait_until(lambda: town.has_settled(taken[-1]), PATIENCE_S)
    return time.monotonic() - back_at


def count_threads(api: Process) -> int:
    """Count the threads of the API's processes."""
    from tests.town import children_of  # noqa: PLC0415 - it reads the environment

    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in children_of(api.popen.pid))
