"""A RunPod whose jobs end by themselves, thousands of them, as its limits of rate allow: a process of its own."""

import asyncio
import heapq
import json
import random
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from embedded.ports import HOST
from tests.gateway.cloud import Cloud, Work
from tests.gateway.routes import Routes

#: Seconds over which RunPod counts calls, and how many it lets through then, all in all and at one moment.
WINDOW_S = 10.0
MOST = {"run": 1000, "status": 2000, "cancel": 100}
MOST_AT_ONCE = {"run": 200, "status": 400, "cancel": 20}


@dataclass(frozen=True)
class Nature:
    """How it behaves. Times in seconds."""

    port: int
    shortest_s: float
    longest_s: float
    latency_s: float
    #: How often each webhook is called: 0 loses it.
    hooks: int
    #: What each job leaves, as an outcome names it.
    file: dict[str, Any]


class Crowd(Cloud):
    """Jobs that begin at once, and end after a while."""

    def __init__(self, nature: Nature) -> None:
        super().__init__()
        self.nature, self.hooks = nature, nature.hooks
        self.ending: list[tuple[float, str]] = []
        self.looks: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    def accept(self, endpoint: str, body: dict[str, Any]) -> Work:
        """Take a job in, and begin it."""
        work = super().accept(endpoint, body)
        lasts_s = random.uniform(self.nature.shortest_s, self.nature.longest_s)
        work.status, work.worker, work.taken_at = "IN_PROGRESS", "one of many", work.accepted_at
        heapq.heappush(self.ending, (work.accepted_at + lasts_s, work.id))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return work

    def pass_time(self) -> Iterator[Work]:
        """End the jobs whose time has come; unlike with workers, only those need a look."""
        while self.ending and self.ending[0][0] <= time.monotonic():
            work = self.works[heapq.heappop(self.ending)[1]]
            work.output = {"engine": "gpu", "seconds": 1.0, "params": work.input["params"], "file": self.nature.file}
            self.end(work, "COMPLETED")
            self.under_way -= 1
            yield work

    def ledger(self) -> dict[str, Any]:
        """Tell all, with times in seconds since the epoch."""
        epoch = time.time() - time.monotonic()
        works = [
            {"attempt_id": work.attempt_id, "looks": self.looks[work.id], "accepted_at": work.accepted_at + epoch,
             "ended_at": work.ended_at + epoch if work.ended_at else None}
            for work in self.works.values()
        ]  # fmt: skip
        return {"works": works, **self.counts()}

    def counts(self) -> dict[str, Any]:
        """Tell how many there are."""
        accepted = len(self.works)
        return {"accepted": accepted, "under_way": self.under_way, "most_under_way": self.most_under_way,
                "calls": self.calls}  # fmt: skip


class Gate:
    """Lets so many calls through as RunPod does."""

    def __init__(self) -> None:
        self.passed: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self.inside: Counter[tuple[str, str]] = Counter()

    def lets_in(self, line: tuple[str, str]) -> bool:
        """Tell whether a call of (endpoint, operation) is let in, and count it."""
        now, passed = time.monotonic(), self.passed[line]
        while passed and now - passed[0] > WINDOW_S:
            passed.popleft()
        if len(passed) >= MOST.get(line[1], 10**6) or self.inside[line] >= MOST_AT_ONCE.get(line[1], 10**6):
            return False
        passed.append(now)
        return True


class CrowdRoutes(Routes):
    """RunPod's routes, with its latency, its limits of rate, and a ledger."""

    cloud: Crowd

    def __init__(self, cloud: Crowd) -> None:
        super().__init__(cloud)
        self.gate = Gate()

    def app(self) -> web.Application:
        """Add what whoever measures asks."""
        app = super().app()
        app.router.add_get("/v2/ledger", self.tell_all)
        app.router.add_get("/v2/counts", self.tell_counts)
        return app

    async def call(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Call the route, after the way to it, and if it is not called too often."""
        line = request.match_info.get("endpoint", ""), request.match_info.route.name or ""
        if not self.gate.lets_in(line):
            self.cloud.calls["refused"] += 1
            return web.json_response({"error": "too many requests"}, status=429, headers={"Retry-After": "2"})
        self.gate.inside[line] += 1
        try:
            if line[0]:
                await asyncio.sleep(self.cloud.nature.latency_s)
            return await super().call(request, handler)
        finally:
            self.gate.inside[line] -= 1

    async def status(self, request: web.Request) -> web.Response:
        """Show a job, and count the look."""
        self.cloud.looks[request.match_info["id"]] += 1
        return web.json_response(self.find(request).show())

    async def tell_all(self, _request: web.Request) -> web.Response:
        """Tell all."""
        return web.json_response(self.cloud.ledger())

    async def tell_counts(self, _request: web.Request) -> web.Response:
        """Tell how many there are."""
        return web.json_response(self.cloud.counts())


def main(nature: str) -> None:
    """Serve until it is ended; the nature comes as JSON."""
    known = Nature(**json.loads(nature))
    web.run_app(CrowdRoutes(Crowd(known)).app(), host=HOST, port=known.port, access_log=None, print=None)


if __name__ == "__main__":
    main(sys.argv[1])
