"""A ComfyUI for tests without one: real HTTP and websocket, its refusals, its messages in their order, its failures."""

import argparse
import asyncio
import copy
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from aiohttp import WSMsgType, web

from tests.handlers.comfyui.faults import Faults
from tests.handlers.comfyui.running import Running
from tests.handlers.comfyui.validation import OBJECT_INFO, Refused, Validator


class StandIn:
    """A server in a thread of its own, with a folder like ComfyUI's."""

    def __init__(self, home: Path, port: int = 0) -> None:
        self.home, self.port = home, port
        for folder in ("input", "output", "custom_nodes", "models/loras", "models/diffusion_models"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        self.info = copy.deepcopy(OBJECT_INFO)
        self.validator = Validator(self.info, lambda name: (self.home / "input" / name).is_file())
        self.faults = Faults()
        #: Hears of each upload: its name and bytes.
        self.uploaded: Callable[[str, bytes], object] = lambda _name, _data: None
        self.said: list[str] = []
        self.looked_up: list[str] = []
        self.interrupted_at: list[float] = []
        self.graphs: list[dict[str, Any]] = []
        self.submitted = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="ComfyUI stand-in", daemon=True)
        self._forget()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "StandIn":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def close(self) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def uninstall(self, loader: str, file: str) -> None:
        """Let a loader no longer see a file."""
        cls, name = loader.split(".")
        self.info[cls]["input"]["required"][name][0].remove(file)

    def lose_queue(self) -> None:
        """Forget all that waits and runs, as somebody's POST /queue {"clear": true} and a restart do."""
        self._call(self._lose())

    def restart(self) -> None:
        """Come up again on the same port, knowing nothing."""
        self._call(self._stop())
        self._call(self._listen())

    def go_away(self) -> None:
        """Answer nobody any more."""
        self._call(self._stop())

    # Life
    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    def _forget(self) -> None:
        self.history: dict[str, Any] = {}
        self.pending: list[tuple[int, str, Any, str, list[str]]] = []
        self.running: list[tuple[int, str, Any, str, list[str]]] = []
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.made: dict[str, dict[str, str]] = {}
        self.interrupt = False

    async def _listen(self) -> None:
        self._forget()
        self.work = asyncio.Event()
        app = web.Application(client_max_size=2**27)
        app.add_routes(
            [
                web.get("/system_stats", self.get_stats),
                web.get("/object_info/{cls}", self.get_info),
                web.get("/internal/folder_paths", self.get_folders),
                web.post("/upload/image", self.post_upload),
                web.post("/prompt", self.post_prompt),
                web.get("/history/{id}", self.get_history),
                web.post("/history", self.post_history),
                web.get("/queue", self.get_queue),
                web.post("/queue", self.post_queue),
                web.post("/interrupt", self.post_interrupt),
                web.get("/view", self.get_view),
                web.get("/ws", self.get_ws),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._worker = asyncio.ensure_future(self._work())

    async def _stop(self) -> None:
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        for socket in list(self.sockets.values()):
            await socket.close()
        await self._runner.cleanup()

    async def _lose(self) -> None:
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self.pending, self.running = [], []
        self._worker = asyncio.ensure_future(self._work())

    # Routes
    async def get_stats(self, _: web.Request) -> web.Response:
        return web.json_response({"system": {"comfyui_version": "0.25.0", "argv": ["main.py"]}, "devices": []})

    async def get_info(self, request: web.Request) -> web.Response:
        cls = request.match_info["cls"]
        self.looked_up.append(cls)
        self._see_loras()
        return web.json_response({cls: self.info[cls]} if cls in self.info else {})

    async def get_folders(self, _: web.Request) -> web.Response:
        models = self.home / "models"
        return web.json_response(
            {
                "loras": [str(models / "loras")],
                "diffusion_models": [str(models / "unet"), str(models / "diffusion_models")],
                "custom_nodes": [str(self.home / "custom_nodes")],
            }
        )

    async def post_upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        image, subfolder = form["image"], str(form.get("subfolder", ""))
        assert isinstance(image, web.FileField)
        folder = (self.home / "input" / subfolder).resolve()
        if not folder.is_relative_to(self.home.resolve() / "input"):
            return web.Response(status=400)
        folder.mkdir(parents=True, exist_ok=True)
        data = image.file.read()
        (folder / image.filename).write_bytes(data)
        self.uploaded(image.filename, data)
        return web.json_response({"name": image.filename, "subfolder": subfolder, "type": "input"})

    async def post_prompt(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.submitted += 1
        self._see_loras()
        try:
            check_body(asked)
            outputs, wrong = self.validator.check(asked["prompt"])
        except Refused as refused:
            return web.json_response(refused.body, status=400)
        self.graphs.append(asked["prompt"])
        asked["prompt_id"] = str(uuid4()) if self.faults.old else asked["prompt_id"]
        number = len(self.graphs) - 1
        self.pending.append((number, asked["prompt_id"], asked["prompt"], asked["client_id"], outputs))
        self.work.set()
        return web.json_response({"prompt_id": asked["prompt_id"], "number": number, "node_errors": wrong})

    async def get_history(self, request: web.Request) -> web.Response:
        entry = self.history.get(request.match_info["id"])
        return web.json_response({request.match_info["id"]: entry} if entry else {})

    async def post_history(self, request: web.Request) -> web.Response:
        for key in (await request.json()).get("delete", []):
            self.history.pop(key, None)
        return web.Response()

    async def get_queue(self, _: web.Request) -> web.Response:
        return web.json_response({"queue_running": self.running, "queue_pending": self.pending})

    async def post_queue(self, request: web.Request) -> web.Response:
        if self.faults.hangs_up and request.transport:
            request.transport.abort()
        gone = (await request.json()).get("delete", [])
        self.pending = [item for item in self.pending if item[1] not in gone]
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        wanted = (await request.json()).get("prompt_id")
        if any(item[1] == wanted for item in self.running):
            self.interrupt = True
            self.interrupted_at.append(self._loop.time())
        return web.Response()

    async def get_view(self, request: web.Request) -> web.StreamResponse:
        asked = request.query
        path = self.home / asked["type"] / asked["subfolder"] / asked["filename"]
        return web.FileResponse(path) if path.is_file() and not self.faults.forgetful else web.Response(status=404)

    async def get_ws(self, request: web.Request) -> web.StreamResponse:
        if self.faults.deaf:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = request.query["clientId"]
        self.sockets[client] = socket
        await self.tell(client, "status", {"status": self._remaining(), "sid": client})
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        self.sockets.pop(client, None)
        return socket

    # Work
    async def _work(self) -> None:
        while True:
            await self.work.wait()
            self.work.clear()
            while self.pending:
                item = self.pending.pop(0)
                self.running, self.interrupt = [item], False
                entry = await Running(self, item).run()
                await asyncio.sleep(self.faults.late_s)
                self.running = []
                self.history[item[1]] = entry

    async def tell(self, client: str, kind: str, data: dict[str, Any]) -> None:
        self.said.append(kind)
        socket = self.sockets.get(client)
        if socket is None or socket.closed or self.faults.mute:
            return
        if len(self.said) > self.faults.breaks_after:
            await socket.close()
            return
        await socket.send_str(json.dumps({"type": kind, "data": data}))

    def _remaining(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": len(self.pending) + len(self.running)}}

    def _see_loras(self) -> None:
        """See the LoRAs that are there now, without a restart."""
        folder = self.home / "models" / "loras"
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))
        self.info["LoraLoader"]["input"]["required"]["lora_name"][0] = found


def check_body(asked: dict[str, Any]) -> None:
    if "prompt" not in asked:
        raise Refused("no_prompt", "No prompt provided", "No prompt provided")
    given = asked["prompt_id"]
    try:
        good = str(UUID(given)) == given
    except ValueError:
        good = False
    if not good:
        details = "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server \
generate one"
        raise Refused("invalid_prompt_id", "prompt_id must be a valid UUID", details)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--step-s", type=float, default=0.0)
    options = parser.parse_args()
    server = StandIn(options.home, options.port)
    server.faults.step_s = options.step_s
    server.start()
    threading.Event().wait()
