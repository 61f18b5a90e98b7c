"""Carries out the plan, and writes down what it did to whom, from when to when."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Timer
from typing import Any
from uuid import uuid4

import psycopg2
import requests
from redis import Redis, RedisError

from embedded import guard
from tests.chaos import lines
from tests.chaos.plan import Blow
from tests.chaos.town import Town, tell
from tests.gateway.routes import KEY

#: Seconds that a call of its own may take.
PATIENCE_S = 5

#: Ends every connection but the one that says so.
DISCONNECT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()"""


class Nemesis:
    """One run's."""

    def __init__(self, town: Town, kept: Path, seed: int) -> None:
        self.town, self.faults = town, kept / "faults.jsonl"
        self.ledger = kept / "ledger.jsonl"
        self.chance = random.Random(f"nemesis {seed}")
        self.wakers: list[Timer] = []

    def carry_out(self, blows: Sequence[Blow], began: float) -> None:
        """Do all of it, each at its time."""
        for blow in blows:
            time.sleep(max(0.0, began + blow.at_s - time.monotonic()))
            self.strike(blow)
        for waker in self.wakers:
            waker.join()

    def strike(self, blow: Blow) -> None:
        """Do one, and write it down with the time at which it is over."""
        did: Callable[[Blow], object] = getattr(self, blow.kind)
        at = time.time()
        try:
            more = did(blow)
        except (OSError, RedisError, psycopg2.Error) as error:  # what it would hurt is away already
            lines.add(self.faults, at=at, name=f"missed {blow.name}", part=blow.part, until=at, why=str(error)[:200])
        else:
            lines.add(self.faults, at=at, name=blow.name, part=blow.part, until=at + blow.lasts_s, told=more)

    def kill(self, blow: Blow) -> None:
        """Kill a part, or one process of the gpu worker's pool."""
        if blow.part == "child":
            *_, last = self.town.parts["gpu"].family()
            guard.tell(last, signal.SIGKILL)
        else:
            self.town.parts[blow.part].kill(blow.lasts_s)

    def stop(self, blow: Blow) -> None:
        """Let a part stand still for a while."""
        stopped = self.town.parts[blow.part].family()
        tell(stopped, signal.SIGSTOP)
        # The same ones: when their parent is killed meanwhile, nobody would find them as its children.
        waker = Timer(blow.lasts_s, tell, (stopped, signal.SIGCONT))
        self.wakers.append(waker)
        waker.start()

    def flush(self, _blow: Blow) -> None:
        """Let Valkey forget all."""
        with Redis.from_url(self.town.env["REDIS_URL"], socket_timeout=PATIENCE_S) as client:
            client.flushall()

    def disconnect(self, _blow: Blow) -> None:
        """End every connection to PostgreSQL."""
        connection = psycopg2.connect(self.town.env["DATABASE_URL"], connect_timeout=PATIENCE_S)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 5000")
                cursor.execute(DISCONNECT)
        finally:
            connection.close()

    def order(self, blow: Blow) -> None:
        """Tell RunPod to go wrong."""
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = requests.post(f"{self.town.gateway}/orders", json=blow.order, headers=headers, timeout=PATIENCE_S)
        answer.raise_for_status()

    def forge(self, _blow: Blow) -> int:
        """Tell the API of an end, as somebody who does not know the secret; gives its answer."""
        known = [line["attempt"] for line in lines.read(self.ledger)] or [str(uuid4())]
        lie: dict[str, Any] = {"status": "COMPLETED", "output": {}}
        path = f"/hooks/runpod/{self.chance.choice(known)}/{'0' * 64}"
        return requests.post(f"{self.town.api}{path}", json=lie, timeout=PATIENCE_S).status_code
