"""RunPod's HTTP, for those who send jobs and for those who do them."""

import asyncio
import json
import time
from typing import Any

import aiohttp
from aiohttp import web

from tests import canaries
from tests.gateway.cloud import ENDED, LARGEST, Cloud, Told, Work
from tests.lookout import watch

KEY = canaries.RUNPOD

#: Seconds that a worker's poll is held, and between two looks while it is.
HOLD_S, LOOK_S = 1.0, 0.01


class Routes:
    """The routes over one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hooks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """Make the application."""
        app = web.Application(client_max_size=64 * 2**20, middlewares=[self.go_wrong])
        for method, path, handler in (
            ("POST", "/run", self.run), ("GET", "/status/{id}", self.status), ("POST", "/cancel/{id}", self.cancel),
            ("GET", "/health", self.health), ("GET", "/job-take/{worker}", self.take),
            ("GET", "/job-stop/{worker}", self.stop), ("POST", "/job-done/{worker}/{id}", self.done),
            ("GET", "/ping/{worker}", self.ping),
        ):  # fmt: skip
            app.router.add_route(method, "/v2/{endpoint}" + path, handler, name=path.split("/")[1])
        app.router.add_route("GET", "/v1/endpoints/{endpoint}", self.show_scale, name="read-scale")
        app.router.add_route("PATCH", "/v1/endpoints/{endpoint}", self.change_scale, name="set-scale")
        app.cleanup_ctx.append(self.keep_time)
        return app

    @web.middleware
    async def go_wrong(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Count the call, let in who has the key, and do to it what a test has asked for."""
        name = request.match_info.route.name or "nothing"
        self.cloud.calls[name] += 1
        if request.headers.get("Authorization") not in {KEY, f"Bearer {KEY}"}:
            return web.json_response({"error": "who are you"}, status=401)
        faults = self.cloud.faults[name]
        fault = faults.pop(0) if faults else None
        if fault is None:
            return await self.call(request, handler)
        answer = await self.call(request, handler) if fault.after or not (fault.status or fault.drop) else None
        await asyncio.sleep(fault.hold_s)
        if fault.drop and request.transport:
            request.transport.close()
        if fault.status:
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
        return answer or web.Response()

    async def call(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Call the route itself."""
        answer: web.StreamResponse = await handler(request)
        return answer

    async def run(self, request: web.Request) -> web.Response:
        """Take a job in."""
        raw = await request.read()
        watch.hear("a job for RunPod", raw)
        body = json.loads(raw)
        if len(raw) > LARGEST or not body.get("input"):
            return web.json_response({"error": "bad request"}, status=400)
        work = self.cloud.accept(request.match_info["endpoint"], body)
        return web.json_response({"id": work.id, "status": work.status})

    async def status(self, request: web.Request) -> web.Response:
        """Show a job."""
        self.cloud.customers.add(request.transport)
        return web.json_response(self.find(request).show())

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job."""
        work = self.find(request)
        self.cloud.cancel(work)
        return web.json_response({"id": work.id, "status": work.status})

    async def health(self, request: web.Request) -> web.Response:
        """Count jobs and workers."""
        return web.json_response(self.cloud.health(request.match_info["endpoint"]))

    async def show_scale(self, request: web.Request) -> web.Response:
        """Show how an endpoint is configured."""
        endpoint = request.match_info["endpoint"]
        return web.json_response({"id": endpoint, "gpuTypeIds": ["NVIDIA L4"], **self.cloud.scale[endpoint]})

    async def change_scale(self, request: web.Request) -> web.Response:
        """Change only what is told."""
        changes, scale = await request.json(), self.cloud.scale[request.match_info["endpoint"]]
        wanted = {**scale, **changes}
        if wanted.keys() != scale.keys() or wanted["workersMin"] > wanted["workersMax"]:
            return web.json_response({"error": "bad request"}, status=400)
        scale.update(changes)
        return await self.show_scale(request)

    async def take(self, request: web.Request) -> web.Response:
        """Give a worker a job, as soon as there is one."""
        worker, until = self.hear(request), time.monotonic() + HOLD_S
        while time.monotonic() < until and request.transport and not request.transport.is_closing():
            if work := self.cloud.give(request.match_info["endpoint"], worker):
                return web.json_response({"id": work.id, "input": work.input, "webhook": work.webhook})
            await asyncio.sleep(LOOK_S)
        return web.Response(status=204)

    async def stop(self, request: web.Request) -> web.Response:
        """Tell a worker which of its jobs to stop, as soon as there is one."""
        worker, until = self.hear(request), time.monotonic() + HOLD_S
        while time.monotonic() < until and request.transport and not request.transport.is_closing():
            if ids := self.cloud.stops.pop(worker, []):
                return web.json_response({"jobsToStop": ids})
            await asyncio.sleep(LOOK_S)
        return web.Response(status=204)

    async def done(self, request: web.Request) -> web.Response:
        """Take progress or a result: JSON, though the worker says that it is a form."""
        worker, work, raw = self.hear(request), self.find(request), await request.read()
        watch.hear("an answer of a worker at RunPod", raw)
        body = json.loads(raw)
        taken = len(raw) <= LARGEST and work.worker == worker
        if body.get("status") == "IN_PROGRESS":
            taken = taken and self.cloud.progress(work, body.get("output"))
        elif taken := taken and self.cloud.finish(work, body):
            self.tell(work)
        return web.json_response({}, status=200 if taken else 400)

    async def ping(self, _request: web.Request) -> web.Response:
        """Hear a heartbeat, which proves nothing: it comes from a process of its own."""
        return web.json_response({})

    def hear(self, request: web.Request) -> str:
        """Remember by which connections a worker lives."""
        worker = request.match_info["worker"]
        self.cloud.lines[worker].add(request.transport)
        return worker

    def find(self, request: web.Request) -> Work:
        """Find a job of this endpoint."""
        work = self.cloud.works.get(request.match_info["id"])
        if work is None or work.endpoint != request.match_info["endpoint"]:
            raise web.HTTPNotFound(text='{"error":"job not found"}', content_type="application/json")
        return work

    async def keep_time(self, _app: web.Application) -> Any:
        """Let time pass while the application lives."""
        async with aiohttp.ClientSession() as self.teller:
            clock = asyncio.ensure_future(self.tick())
            yield
            for task in (clock, *self.hooks):
                task.cancel()

    async def tick(self) -> None:
        """Let time pass."""
        while True:
            for work in self.cloud.pass_time():
                self.tell(work)
            await asyncio.sleep(0.05)

    def tell(self, work: Work) -> None:
        """Call the job's webhook, or lose it."""
        for _ in range(self.cloud.hooks if work.webhook and work.status in ENDED else 0):
            task = asyncio.ensure_future(self.call_hook(work))
            self.hooks.add(task)
            task.add_done_callback(self.hooks.discard)

    async def call_hook(self, work: Work) -> None:
        """Call a webhook: three tries."""
        body = {**work.show(), "input": work.input, "webhook": work.webhook}
        for _ in range(3):
            told = Told(work.id, time.time(), 0)
            self.cloud.told.append(told)
            try:
                async with self.teller.post(str(work.webhook), json=body) as answer:
                    told.status = answer.status
            except aiohttp.ClientError:
                told.status = -1
            if told.status == 200:
                return
            await asyncio.sleep(self.cloud.hook_gap_s)
