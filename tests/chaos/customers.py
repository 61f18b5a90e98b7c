"""Ask for what the orders say, over HTTP and from Python, and write down what was answered: ok, fail or unknown."""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any
from uuid import uuid4

import requests
from celery import chain, chord
from kombu.exceptions import OperationalError
from redis import RedisError

from tests.chaos import lines
from tests.chaos.order import MEMBERS, Order
from tests.chaos.rig import app
from tools.errors import ToolError

#: Customers that ask at once.
CUSTOMERS = 24

#: Seconds that one waits for an answer, before it is asked again, and between two looks at one job.
PATIENCE_S, AGAIN_S, LOOK_S = 15, 1.0, 2.0

#: How often one asks, under a key or for the same anew.
TRIES = 60

#: No answer, or one that does not say whether it was done.
UNCLEAR = (requests.RequestException, ToolError, OperationalError, RedisError, OSError)


class Customers:
    """All customers of a run, and their history."""

    def __init__(self, api: str, kept: Path, seed: int) -> None:
        self.api, self.history = api, kept / "history.jsonl"
        self.chance = random.Random(f"customers {seed}")
        self.lock, self.over = Lock(), Event()
        #: What was taken in: job id → when it is looked at next.
        self.open: dict[str, float] = {}

    def note(self, what: str, **told: Any) -> None:
        """Write a line."""
        lines.add(self.history, what=what, **told)

    def serve(self, orders: Sequence[Order], began: float) -> None:
        """Ask for all of it, each at its time."""
        with ThreadPoolExecutor(CUSTOMERS, "customer") as pool:
            for order in orders:
                if not self.over.wait(max(0.0, began + order.at_s - time.monotonic())):
                    pool.submit(self.ask, order)

    def ask(self, order: Order) -> None:
        """Ask until it is surely taken in; a further try without a key is another request."""
        for attempt in range(TRIES):
            if self.over.is_set() or self.ask_once(order, 0 if order.keyed else attempt, attempt):
                return
            self.over.wait(AGAIN_S)
        self.note("gave up", order=order.n)

    def ask_once(self, order: Order, seeded: int, attempt: int) -> bool:
        """Ask once; False: nobody knows, or not now."""
        self.note("invoke", order=order.n, attempt=attempt)
        try:
            ids = self.send_http(order, seeded) if order.form == "http" else self.send_python(order, seeded)
        except UNCLEAR as error:
            self.note("unknown", order=order.n, attempt=attempt, why=f"{type(error).__name__}: {error}"[:200])
            return False
        for step, job_id in enumerate(ids):
            self.note("ok", order=order.n, attempt=attempt, step=step, seed=order.seed(seeded, step), job_id=job_id)
            self.open[job_id] = 0
        if ids and order.cancel_after_s is not None:
            self.over.wait(order.cancel_after_s)
            self.cancel(ids[0])
        return bool(ids)

    def send_http(self, order: Order, attempt: int) -> list[str]:
        """Send one job over HTTP: its id; none if it was refused."""
        headers = {"Idempotency-Key": f"order {order.n}"} if order.keyed else {}
        url = f"{self.api}/api/{order.steps[0].tool}/async"
        answer = requests.post(url, json=order.kwargs(attempt, 0), headers=headers, timeout=PATIENCE_S)
        if answer.status_code == 202:
            return [str(answer.json()["job_id"])]
        self.note("fail", order=order.n, attempt=attempt, status=answer.status_code, body=answer.text[:300])
        return []

    def send_python(self, order: Order, attempt: int) -> list[str]:
        """Send a canvas: the ids of its jobs, which it has before it is sent."""
        ids = [str(uuid4()) for _ in order.steps]
        made = [
            app.signature(f"tasks.{step.tool}", kwargs=order.kwargs(attempt, n), task_id=ids[n])
            for n, step in enumerate(order.steps)
        ]  # fmt: skip
        for signature, job_id in zip(made, ids, strict=True):
            signature.set(task_id=job_id)
        canvas(order.form, made).apply_async()
        return ids

    def cancel(self, job_id: str) -> None:
        """Cancel a job; whether it came in time, its end says."""
        try:
            status = requests.post(f"{self.api}/api/jobs/{job_id}/cancel", timeout=PATIENCE_S).status_code
        except requests.RequestException as error:
            self.note("cancel", job_id=job_id, status=0, why=str(error)[:200])
        else:
            self.note("cancel", job_id=job_id, status=status)

    def observe(self) -> None:
        """Look at one job after another, until it is over."""
        while not self.over.wait(0.05):
            now = time.monotonic()
            due = [job_id for job_id, at in list(self.open.items()) if at <= now]
            if due:
                self.look(self.chance.choice(due))

    def look(self, job_id: str) -> None:
        """Look at one, and write down what is shown."""
        self.open[job_id] = time.monotonic() + LOOK_S * self.chance.uniform(0.5, 3)
        asked = time.time()
        try:
            answer = requests.get(f"{self.api}/api/jobs/{job_id}", timeout=PATIENCE_S)
        except requests.RequestException as error:
            self.note("poll", job_id=job_id, asked=asked, http=0, why=type(error).__name__)
            return
        body = answer.json() if answer.status_code == 200 else {}
        told = {name: body.get(name) for name in ("status", "progress", "result", "error")}
        self.note("poll", job_id=job_id, asked=asked, http=answer.status_code, **told)


def canvas(form: str, made: list[Any]) -> Any:
    """Put jobs together; a chord's body names the member whose file it takes."""
    if form == "chain":
        return chain(*made)
    if form == "chord":
        body = made[MEMBERS]
        body.kwargs["image_url"] = "${0.r2_path}"
        return chord(made[:MEMBERS], body)
    return made[0]
