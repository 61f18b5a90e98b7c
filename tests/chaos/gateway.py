"""The branch as a server of its own, which goes wrong on order."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import web

from embedded.ports import HOST
from tests.chaos.branch import Branch
from tests.gateway.cloud import Fault, Work
from tests.gateway.routes import Routes

#: Handlers that run at once; they mostly sleep.
THREADS = 200

#: What a liar tells in a webhook.
LIE = {"status": "COMPLETED", "output": {"file": "r2://elsewhere/lie.png"}}


class Desk(Routes):
    """RunPod's routes, and one for orders."""

    cloud: Branch

    def app(self) -> web.Application:
        """Add the route, and have what the ledger tells gone on with."""
        app = super().app()
        app.router.add_post("/v2/orders", self.order, name="orders")
        app.on_startup.append(self.open)
        return app

    async def open(self, _app: web.Application) -> None:
        """Go on with what was begun."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        self.cloud.recall()

    async def order(self, request: web.Request) -> web.Response:
        """Take an order: a fault of an operation, how often webhooks are called, or trouble with the next jobs."""
        match await request.json():
            case {"op": str(op), "fault": dict(fault), "times": int(times)}:
                made = Fault(**{**fault, "body": str(fault.get("body", "no")).encode()})
                self.cloud.faults[op].extend([made] * times)
            case {"hooks": int(hooks)}:
                self.cloud.hooks = hooks
            case {"trouble": str(name), "times": int(times)}:
                self.cloud.troubles[name] += times
            case unknown:
                return web.json_response({"error": f"no such order: {unknown}"}, status=400)
        return web.json_response({})

    async def run(self, request: web.Request) -> web.Response:
        """Take a job in; with trouble, its webhook is called before the answer, and lies."""
        answer = await super().run(request)
        body = await request.json()
        if answer.status == 200 and body.get("webhook") and self.cloud.trouble("early"):
            await self.call_hook(Liar(request.match_info["endpoint"], body["input"], body["webhook"], {}))
        return answer


class Liar(Work):
    """A job that says that it has ended."""

    def show(self) -> dict[str, Any]:
        """Lie."""
        return {"id": self.id, **LIE}


def main(port: int, ledger: str) -> None:
    """Serve until it is ended."""
    cloud = Branch(Path(ledger))
    web.run_app(Desk(cloud).app(), host=HOST, port=port, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
