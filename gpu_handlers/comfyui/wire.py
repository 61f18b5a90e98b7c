"""The wire to one ComfyUI: each method is one request, and every failure is in our words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from gpu_handlers.comfyui.failures import refusal
from tools.errors import ComfyuiCrashed, HandlerFailed, NoOutput

#: A graph in the form of ComfyUI's API: nodes by their id.
Graph = dict[str, dict[str, Any]]

#: Seconds that ComfyUI may take for an answer: while it loads a model, its server hardly gets to speak.
ANSWER_S = 30.0

#: Seconds for what nobody waits for any more.
FAREWELL_S = 5.0


class Wire:
    """ComfyUI's HTTP interface. Every method raises ComfyuiCrashed when nobody answers."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # No proxy of the environment: ComfyUI stands beside us.
        self._http = httpx.Client(base_url=self.url, timeout=httpx.Timeout(ANSWER_S, connect=3.0), trust_env=False)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def answers(self) -> bool:
        """Tell whether ComfyUI is ready."""
        try:
            return self._http.get("/system_stats", timeout=3.0).is_success
        except httpx.TransportError:
            return False

    def node(self, cls: str) -> dict[str, Any] | None:
        """Look up a class of nodes; None if it is not installed."""
        found: dict[str, Any] | None = self._json("GET", f"/object_info/{cls}").get(cls)
        return found

    def folders(self) -> dict[str, list[str]]:
        """Name the folders of models on ComfyUI's own disk, by kind."""
        found: dict[str, list[str]] = self._json("GET", "/internal/folder_paths")
        return found

    def arguments(self) -> list[str]:
        """Give the command line that ComfyUI was started with."""
        found: list[str] = self._json("GET", "/system_stats")["system"].get("argv", [])
        return found

    def upload(self, path: Path, folder: str, name: str) -> str:
        """Put a picture into ComfyUI's input folder; returns what LoadImage calls it."""
        with path.open("rb") as file:
            form = {"subfolder": folder, "overwrite": "true"}
            answer = self._json("POST", "/upload/image", data=form, files={"image": (name, file, "image/png")})
        return str(PurePosixPath(answer["subfolder"]) / answer["name"])

    def submit(self, graph: Graph, prompt_id: str) -> None:
        """Put a graph into the queue. Raises what says why it was refused, in part or as a whole."""
        asked = {"prompt": graph, "prompt_id": prompt_id, "client_id": prompt_id}
        with self._told():
            answer = self._http.post("/prompt", json=asked)
        said = read(answer)
        if answer.is_success and said["prompt_id"] != prompt_id:
            self.cancel(said["prompt_id"])
            raise HandlerFailed("This ComfyUI gives ids of its own, as those before 0.25.0 do: use a newer one.")
        # A 200 may carry errors too: the outputs that they are about are left out, and ours may be among them.
        if answer.status_code != 200 or said.get("node_errors"):
            if answer.is_success:
                self.cancel(prompt_id)
            raise refusal(graph, said)

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Give the entry of a graph that has ended; None while it has not, or when ComfyUI does not know it."""
        found: dict[str, Any] | None = self._json("GET", f"/history/{prompt_id}").get(prompt_id)
        return found

    def queued(self, prompt_id: str) -> bool:
        """Tell whether a graph waits or runs."""
        queue = self._json("GET", "/queue")
        return any(item[1] == prompt_id for part in ("queue_running", "queue_pending") for item in queue[part])

    def cancel(self, prompt_id: str) -> None:
        """Take a graph out of the queue, and interrupt it if it runs; others are left alone.

        In this order, as it may begin in between; and both, as a server that is loading a model hears us only later.
        """
        try:
            self._ask("POST", "/queue", json={"delete": [prompt_id]}, timeout=FAREWELL_S)
        finally:
            self._ask("POST", "/interrupt", json={"prompt_id": prompt_id}, timeout=FAREWELL_S)

    def forget(self, prompt_id: str) -> None:
        """Let ComfyUI forget an ended graph."""
        self._ask("POST", "/history", json={"delete": [prompt_id]}, timeout=FAREWELL_S)

    def download(self, file: dict[str, Any], path: Path) -> Path:
        """Bring an output to a path."""
        asked = {key: str(file[key]) for key in ("filename", "subfolder", "type")}
        with self._told(), self._http.stream("GET", "/view", params=asked) as answer, path.open("wb") as out:
            if answer.status_code != 200:
                raise NoOutput(f"ComfyUI named {asked['filename']} as its output, and then did not have it.")
            for chunk in answer.iter_bytes():
                out.write(chunk)
        return path

    def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return read(self._ask(method, path, **more))

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        with self._told():
            answer = self._http.request(method, path, **more)
        if not answer.is_success:
            raise HandlerFailed(f"ComfyUI answered {answer.status_code} to {method} {path}.")
        return answer

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise ComfyuiCrashed(f"ComfyUI at {self.url} does not answer ({type(error).__name__}).") from error


def read(answer: httpx.Response) -> dict[str, Any]:
    """Read JSON; whoever answers otherwise is no ComfyUI, or one in trouble."""
    try:
        found: dict[str, Any] = answer.json()
    except json.JSONDecodeError as error:
        raise HandlerFailed(f"ComfyUI answered {answer.status_code} and no JSON.") from error
    return found
