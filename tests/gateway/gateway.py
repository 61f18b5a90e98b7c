"""A RunPod of our own: the same HTTP at both ends, on a port of this machine, in a thread of this process."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from aiohttp import web

from embedded.ports import HOST, any_free
from tests.gateway.cloud import Cloud, Fault, Work
from tests.gateway.routes import KEY, Routes

ENDPOINT = "nap-endpoint"

PATIENCE_S = 20


class Gateway:
    """The server, and what a test asks of it."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.port = any_free(set())
        self.ready = Event()
        self.loop = asyncio.new_event_loop()
        self.over = asyncio.Event()
        self.thread = Thread(target=self.loop.run_until_complete, args=(self.serve(),), name="gateway", daemon=True)

    async def serve(self) -> None:
        """Serve until it is over."""
        runner = web.AppRunner(Routes(self.cloud).app(), access_log=None, keepalive_timeout=3600, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, self.port).start()
        self.ready.set()
        await self.over.wait()
        await runner.cleanup()

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.thread.start()
        assert self.ready.wait(PATIENCE_S)

    def stop(self) -> None:
        """End it; its workers have ended before."""
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(PATIENCE_S)
        self.loop.close()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{HOST}:{self.port}/v2"

    def customer_env(self, *tools: str) -> dict[str, str]:
        """Give the environment of those who send jobs."""
        endpoints = ",".join(f"{tool}={ENDPOINT}" for tool in tools)
        rest = self.url.replace("/v2", "/v1")
        return {"RUNPOD_API_KEY": KEY, "RUNPOD_ENDPOINTS": endpoints, "RUNPOD_BASE_URL": self.url,
                "RUNPOD_REST_URL": rest}  # fmt: skip

    def worker_env(self, name: str) -> dict[str, str]:
        """Give the environment of a worker, as RunPod does."""
        at = f"{self.url}/{ENDPOINT}"
        return {
            "RUNPOD_POD_ID": name, "RUNPOD_AI_API_KEY": KEY, "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true",
            "RUNPOD_WEBHOOK_GET_JOB": f"{at}/job-take/$ID?gpu=TEST",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{at}/job-done/$RUNPOD_POD_ID/$ID?gpu=TEST",
            "RUNPOD_WEBHOOK_PING": f"{at}/ping/$RUNPOD_POD_ID?gpu=TEST",
        }  # fmt: skip

    @property
    def lines(self) -> set[object]:
        """The connections by which jobs were asked about."""
        return self.cloud.customers

    def fail(self, op: str, *faults: Fault) -> None:
        """Let the next calls of an operation go wrong."""
        self.cloud.faults[op].extend(faults)

    @contextmanager
    def having(self, **knobs: object) -> Iterator[None]:
        """Turn knobs of the cloud for a while."""
        before = {name: getattr(self.cloud, name) for name in knobs}
        for name, value in knobs.items():
            setattr(self.cloud, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self.cloud, name, value)

    def works(self, seed: int) -> list[Work]:
        """Find the jobs that were accepted for a call of nap, by its seed."""
        return [work for work in list(self.cloud.works.values()) if work.input.get("params", {}).get("seed") == seed]

    def accepted(self) -> Counter[str]:
        """Count by attempt how often it was accepted."""
        return Counter(work.attempt_id for work in list(self.cloud.works.values()))

    def progressed(self, remote_id: str) -> int:
        """Count how often a job's progress was told in time."""
        return self.cloud.progressed[remote_id]

    def executed(self) -> Counter[str]:
        """Count by attempt how often it was given to a worker."""
        return Counter(attempt_id for attempt_id, _, _ in self.cloud.executions)

    def forget(self, remote_id: str) -> None:
        """Lose a job, as a Redis of theirs may."""
        del self.cloud.works[remote_id]
