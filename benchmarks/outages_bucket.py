"""The bucket away, stalled, or too busy: what the door answers, and what becomes of a handler's file."""

import time
from pathlib import Path
from uuid import uuid4

import requests

from benchmarks import stack
from benchmarks.report import Figure
from storage.bucket import BUDGET_S
from tests.api.asking import serve
from tests.conftest import wait_until
from tests.gate import Gate, gated
from tests.tasks.house import House, read
from tests.town import Town

#: Seconds for which it is away when a handler wants to store its file.
AWAY_S = 12

#: What S3 says when it is too busy.
BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 61\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>Slow</Message></Error>\r\n"
)


def measure(town: Town, logs: Path) -> list[Figure]:
    """Put a gate before the bucket, and shut it."""
    port = int(town.env["S3_ENDPOINT_URL"].rsplit(":", 1)[1])
    with gated(port) as gate, stack.processes(logs, "bucket") as starter:
        env = {"S3_ENDPOINT_URL": f"http://127.0.0.1:{gate.port}"}
        house, site = House(starter, env=env), serve(starter, env)
        ways = {"stopped": gate.refuse, "stalled": gate.silence, "busy": lambda: gate.say(BUSY, 1000)}
        figures = []
        for how, go in ways.items():
            go()
            seconds, code = knock(site)
            gate.open()
            figures.append(Figure(f"bucket {how}: the door answers {code} after", seconds, "s", f"<= {BUDGET_S:g}"))
            figures.append(Figure(f"bucket {how}: a finished file is stored after", keep(house, site, gate, go), "s"))
        runs = max(house.written("began").values())
    return [*figures, Figure("bucket away: the most runs of one attempt", runs, "", "<= 1")]


def knock(site: str) -> tuple[float, str]:
    """Name a picture at the door."""
    began = time.monotonic()
    asked = {"image_url": f"r2://packshot/uploads/{uuid4()}.png", "object_name": "bag"}
    answer = requests.post(f"{site}/api/mask/async", json=asked, timeout=120)
    return time.monotonic() - began, f"{answer.status_code} {answer.json()['code']}"


def keep(house: House, site: str, gate: Gate, go: object) -> float:
    """Shut the gate while a handler works; seconds from its opening to the end of the job."""
    job_id = requests.post(f"{site}/api/nap/async", json={"seconds": 2}, timeout=60).json()["job_id"]
    before = sum(house.written("ended").values())
    wait_until(lambda: read(job_id)["stage"] == "napping")
    go()  # type: ignore[operator]  # one of the gate's ways
    wait_until(lambda: sum(house.written("ended").values()) > before)
    time.sleep(AWAY_S)
    gate.open()
    began = time.monotonic()
    wait_until(lambda: read(job_id)["status"] == "completed", 60, lambda: repr(read(job_id)))
    return time.monotonic() - began
