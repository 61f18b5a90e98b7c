"""One job at ComfyUI: its files in, its graph through, its file out, and nothing left behind."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from gpu_handlers.comfyui import inventory, media
from gpu_handlers.comfyui.disk import Disk, find
from gpu_handlers.comfyui.ears import Ears
from gpu_handlers.comfyui.follow import Follower
from gpu_handlers.comfyui.process import Process
from gpu_handlers.comfyui.progress import Progress
from gpu_handlers.comfyui.wire import Graph, Wire
from gpu_handlers.work import Work
from settings import settings
from tools.contract import Tool
from tools.errors import ComfyuiCrashed, NoOutput, ToolError

#: The node of every graph of ours that leaves the file.
OUTPUT = "70"

#: Longest side, in pixels, of what is sent: no model works on more, and ComfyUI takes 100 MB.
LONGEST = 2048

#: Seconds before the end of an attempt that are for what comes after ComfyUI: proof and upload.
RESERVE_S = 10.0


class Comfy:
    """A ComfyUI that this process speaks to."""

    def __init__(self, url: str, command: str = "") -> None:
        self.wire, self.process = Wire(url), Process(command)
        self._checked: set[str] = set()

    def check(self, graph: Graph) -> None:
        """Look once whether ComfyUI has what graphs of this form need. Raises ModelMissing."""
        form = str(sorted(node["class_type"] for node in graph.values()))
        if form not in self._checked:
            inventory.check(self.wire, graph)
            self._checked.add(form)

    def renew(self) -> None:
        """Believe nothing any more; a process of ours is ended, and the next job starts another."""
        self._checked.clear()
        self.process.stop()


class Visit:
    """One job's stay at ComfyUI, under a name of its own."""

    def __init__(self, comfy: Comfy, disk: Disk, work: Work, deadline: float) -> None:
        self.comfy, self.disk, self.work = comfy, disk, work
        #: Names the graph, the websocket, and the folders of inputs and outputs.
        self.id = str(uuid.uuid4())
        self.folder = f"packshot-{self.id}"
        self._deadline = deadline

    def send(self, path: Path, name: str, longest: int = LONGEST) -> str:
        """Upload a picture, decoded and clean; returns what LoadImage calls it. Raises NotAnImage."""
        clean = media.check(path, self.work.folder, longest)
        return self.comfy.wire.upload(clean, self.folder, f"{name}.png")

    def make(self, graph: Graph, path: Path) -> Path:
        """Run a graph, and bring the file that it leaves to `path`."""
        graph[OUTPUT]["inputs"]["filename_prefix"] = f"{self.folder}/out"
        self.comfy.check(graph)
        made = self._run(graph)
        files = made.get(OUTPUT, {}).get("images", [])
        found = [file for file in files if Path(file["filename"]).suffix == path.suffix]
        if len(found) != 1:
            raise NoOutput(f"ComfyUI left {len(files)} files where one {path.suffix} was asked for.")
        return self.comfy.wire.download(found[0], path)

    def _run(self, graph: Graph) -> dict[str, Any]:
        wire, ears = self.comfy.wire, Ears(self.comfy.wire.url, self.id, self.work.stop)
        try:
            wire.submit(graph, self.id)
            follower = Follower(wire, ears, self.id, self.comfy.process.last_words)
            return follower.follow(Progress(graph), self.work, self._deadline)
        except BaseException:
            with suppress(ToolError):  # whatever ended us, nobody wants the rest; and ComfyUI may be what is gone
                wire.cancel(self.id)
            raise
        finally:
            ears.close()

    def leave(self) -> None:
        """Take away what is ours."""
        with suppress(ToolError):
            self.comfy.wire.forget(self.id)
        self.disk.clean(self.folder)


@cache
def comfy() -> Comfy:
    """Give the ComfyUI of the settings, once per process."""
    given = settings()
    return Comfy(given.comfyui_url, given.comfyui_command)


@contextmanager
def visit(tool: Tool, work: Work) -> Iterator[Visit]:
    """Wait for ComfyUI, stay there for one job, and leave nothing."""
    limit_s = work.timeout_s or tool.limits.timeout_s
    deadline = time.monotonic() + max(limit_s - RESERVE_S, limit_s / 2)
    there = comfy()
    work.report(0.0, "loading")
    there.process.await_ready(there.wire, work.stop, deadline)
    stay = Visit(there, find(there.wire), work, deadline)
    try:
        yield stay
    except ComfyuiCrashed:
        there.renew()
        raise
    finally:
        stay.leave()
