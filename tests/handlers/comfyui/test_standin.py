"""The stand-in beside what a real server sent: the same messages, in the same order, with the same members."""

import json
import uuid
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from gpu_handlers.comfyui import manifest
from gpu_handlers.generate import gpu as generate
from tests.handlers.comfyui.conftest import make_lora
from tests.handlers.comfyui.faults import OOM
from tests.handlers.comfyui.standin import StandIn
from tools.generate import GENERATE

REAL: dict[str, Any] = json.loads((Path(__file__).parent / "messages.json").read_bytes())
ASKED = {"model_id": 1, "prompt": "x", "seed": 1, "num_inference_steps": 4, "width": 256, "height": 256}


def converse(comfy: StandIn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run the graph that the real server ran; returns all messages, and the entry in the history."""
    (comfy.home / "models" / "loras" / "trained_lora.safetensors").write_bytes(make_lora())
    files = {**manifest.manifest("generate").profiles[0].names, "lora": "trained_lora.safetensors"}
    graph = generate.graph(GENERATE.check(ASKED), files)  # type: ignore[arg-type]  # these are generate's
    me, heard = str(uuid.uuid4()), list[dict[str, Any]]()
    with connect(f"{comfy.url.replace('http', 'ws')}/ws?clientId={me}", proxy=None) as socket:
        body = {"prompt": graph, "prompt_id": me, "client_id": me}
        assert httpx.post(f"{comfy.url}/prompt", json=body).json()["node_errors"] == {}
        while not heard or kind(heard[-1]) != "executing nothing":
            heard.append(json.loads(socket.recv(10)))
            if heard[-1]["type"] == "progress" and comfy.faults.step_s:
                httpx.post(f"{comfy.url}/interrupt", json={"prompt_id": me})
    entry: dict[str, Any] = {}
    while not entry:
        entry = httpx.get(f"{comfy.url}/history/{me}").json()
    return heard, entry[me]


def kind(message: dict[str, Any]) -> str:
    if message["type"] == "status" and "sid" in message["data"]:
        return "status to a newcomer"
    nothing = message["type"] == "executing" and message["data"]["node"] is None
    return "executing nothing" if nothing else str(message["type"])


def check_members(heard: list[dict[str, Any]]) -> None:
    for message in heard:
        assert sorted(message["data"]) == REAL["keys"][kind(message)], kind(message)
    states = [message["data"]["nodes"] for message in heard if message["type"] == "progress_state"]
    for state in states:
        assert all(sorted(node) == REAL["keys"]["a node in progress_state"] for node in state.values())


def phases(told: list[str]) -> list[str]:
    return [name for name, _ in groupby(told)]


def test_a_success_is_told_as_a_real_server_told_it(comfy: StandIn) -> None:
    heard, entry = converse(comfy)
    check_members(heard)
    told = [message["type"] for message in heard if message["type"] not in {"status", "progress_state"}]
    assert phases(told) == phases(REAL["order"]), "which loader comes first is the real one's own affair"
    assert (len(told), told.count("progress")) == (len(REAL["order"]), 4)
    assert (sorted(entry), sorted(entry["status"])) == (REAL["history"], REAL["status"])
    kept = [name for name, _ in entry["status"]["messages"]]
    assert kept == ["execution_start", "execution_cached", "execution_success"]


@pytest.mark.parametrize("end", ["execution_error", "execution_interrupted"])
def test_an_early_end_is_told_as_a_real_server_told_it(comfy: StandIn, end: str) -> None:
    if end == "execution_error":
        comfy.faults.failing["VAEDecode"] = OOM
    else:
        comfy.faults.step_s = 0.1
    heard, entry = converse(comfy)
    check_members(heard)
    assert [message["type"] for message in heard if message["type"] != "status"][-2:] == [end, "executing"]
    status = entry["status"]
    assert (status["status_str"], status["completed"], status["messages"][-1][0]) == ("error", False, end)
    assert sorted(status["messages"][-1][1]) == REAL["keys"][end]
