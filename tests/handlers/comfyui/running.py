"""One graph on its way through the stand-in: the messages that a real server sends, in its order."""

import asyncio
import time
from pathlib import Path, PurePosixPath
from typing import Any

from tests.handlers.comfyui.faults import NOT_FOUND
from tests.handlers.comfyui.painting import Painter, box_of

#: Classes of nodes that take steps.
SAMPLERS = {"KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced"}


class Stopped(Exception):
    """The graph ends before its end: by this message, with this in it."""

    def __init__(self, kind: str, **data: Any) -> None:
        self.kind, self.data = kind, data


class Running:
    """Runs one item of the queue; `server` is a StandIn."""

    def __init__(self, server: Any, item: tuple[int, str, Any, str, list[str]]) -> None:
        self.server, self.item = server, item
        self.number, self.id, self.graph, self.client, self.outputs = item
        self.painter = Painter(self.graph, server.home / "input")
        self.states: dict[str, dict[str, Any]] = {}
        self.kept: list[list[Any]] = []
        self.made: dict[str, Any] = {}

    async def run(self) -> dict[str, Any]:
        """Send all messages; returns the entry for the history, which comes a moment after the last of them."""
        await self.keep("execution_start", timestamp=stamp())
        await self.keep("execution_cached", nodes=[], timestamp=stamp())
        try:
            for node in self.order():
                await self.do(node)
            await self.keep("execution_success", timestamp=stamp())
        except Stopped as stopped:
            await self.keep(stopped.kind, **stopped.data)
        good = self.kept[-1][0] == "execution_success"
        await self.tell("executing", node=None)
        status = {"status_str": "success" if good else "error", "completed": good, "messages": self.kept}
        prompt = [self.number, self.id, self.graph, {"client_id": self.client}, self.outputs]
        return {"prompt": prompt, "outputs": self.made, "status": status, "meta": {}}

    def order(self) -> list[str]:
        """List the nodes that the outputs need, each after what it is made from."""
        listed: list[str] = []
        for output in self.outputs:
            listed += self.server.validator.upstream(self.graph, output, set(listed))
        return listed

    async def do(self, node: str) -> None:
        cls = self.graph[node]["class_type"]
        await self.show(node, "running", 0, 1)
        await self.tell("executing", node=node, display_node=node)
        failing = self.server.faults.failing.get(cls) or self.unfound(node)
        if failing:
            where = {"node_id": node, "node_type": cls, "executed": list(self.states)[:-1]}
            told = {"current_inputs": {}, "current_outputs": [], "traceback": ['  File "/opt/comfyui/x.py"\n']}
            raise Stopped("execution_error", **where, **failing, **told, timestamp=stamp())
        if cls in SAMPLERS:
            await self.sample(node)
        if node in self.outputs:
            await self.save(node)
        await self.show(node, "finished", *(self.states[node][part] for part in ("max", "max")))

    def unfound(self, node: str) -> dict[str, str] | None:
        """Fail like our node when its detector finds nothing."""
        if self.graph[node]["class_type"] != "GroundingToBBoxes":
            return None
        run = self.graph[self.painter.source(node, "data")]["inputs"]
        nothing = "nothing" in run["text_input"] or box_of(self.painter.image(run["image"][0])) is None
        return NOT_FOUND if nothing else None

    async def sample(self, node: str) -> None:
        steps = self.graph[node]["inputs"].get("steps", 4)
        for step in range(1, steps + 1):
            await asyncio.sleep(self.server.faults.step_s)
            if self.server.interrupt:
                self.server.interrupt = False
                where = {"node_id": node, "node_type": self.graph[node]["class_type"]}
                raise Stopped("execution_interrupted", **where, executed=list(self.states)[:-1], timestamp=stamp())
            await self.show(node, "running", step, steps)
            await self.tell("progress", value=step, max=steps, node=node)

    async def save(self, node: str) -> None:
        """Write the file, under a name that was not there before; an output that was made already is only named."""
        cls, prefix = self.graph[node]["class_type"], self.graph[node]["inputs"]["filename_prefix"]
        suffix, digest = (".mp4" if cls == "SaveVideo" else ".png"), self.painter.digest(node)
        if digest not in self.server.made:
            folder = PurePosixPath(prefix).parent.as_posix().removeprefix(".")
            name = free(self.server.home / "output" / folder, PurePosixPath(prefix).name, suffix)
            await asyncio.to_thread(self.painter.save, node, self.server.home / "output" / folder / name)
            self.server.made[digest] = {"filename": name, "subfolder": folder, "type": "output"}
        self.made[node] = {"images": [self.server.made[digest]]} | ({"animated": [True]} if suffix == ".mp4" else {})
        await self.tell("executed", node=node, display_node=node, output=self.made[node])

    async def show(self, node: str, state: str, value: float, most: float) -> None:
        about = {"value": value, "max": most, "state": state, "node_id": node, "prompt_id": self.id}
        self.states[node] = {**about, "display_node_id": node, "parent_node_id": None, "real_node_id": node}
        await self.tell("progress_state", nodes=self.states)

    async def keep(self, kind: str, **data: Any) -> None:
        """Send a message that the history keeps."""
        self.kept.append([kind, {"prompt_id": self.id, **data}])
        await self.tell(kind, **data)

    async def tell(self, kind: str, **data: Any) -> None:
        await self.server.tell(self.client, kind, {**data, "prompt_id": self.id})


def stamp() -> int:
    return int(time.time() * 1000)


def free(folder: Path, name: str, suffix: str) -> str:
    """Give the next free name, as out_00001_.png."""
    folder.mkdir(parents=True, exist_ok=True)
    return f"{name}_{len(list(folder.glob(f'{name}_*'))) + 1:05}_{suffix}"
