"""What a handler costs at a living ComfyUI: how soon a cancel is heard, and what it adds to a bare prompt."""

import statistics
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from gpu_handlers.comfyui import client, disk
from gpu_handlers.work import Work
from tests.handlers.comfyui.desk import Desk, encode
from tests.handlers.comfyui.living import PICTURE, URL, beside_comfyui, has_no_gpu, lora
from tools.outcome import Outcome
from tools.video import VIDEO


@pytest.fixture(scope="module", autouse=True)
def live(s3: Mapping[str, str]) -> Iterator[None]:
    assert s3
    with beside_comfyui():
        yield


def test_a_cancel_interrupts_within_a_second() -> None:
    desk, ended = Desk(), threading.Event()
    found = lora(desk, model=1.0, clip=1.0)
    size = 512 if has_no_gpu() else 1024
    long = {**PICTURE, "num_inference_steps": 100, "width": size, "height": size, "guidance_scale": 3.0}
    outcomes: list[Outcome] = []

    def go() -> None:
        outcomes.append(desk.ask("generate", found, **long))
        ended.set()

    threading.Thread(target=go).start()
    while "sampling" not in [stage for _, stage in desk.told]:
        assert not ended.wait(0.02), outcomes
    began = time.monotonic()
    desk.stop.set()
    assert ended.wait(10)
    told_after = time.monotonic() - began
    while httpx.get(f"{URL}/queue").json()["queue_running"]:
        assert time.monotonic() - began < 10
    print(f"\ncancel told after {told_after:.2f} s, ComfyUI free after {time.monotonic() - began:.2f} s")
    assert outcomes[0].error is not None
    assert outcomes[0].error["code"] == "cancelled"
    assert told_after < 1


def test_the_handler_adds_little_to_a_bare_prompt(tmp_path: Path) -> None:
    image = tmp_path / "noise.png"
    image.write_bytes(encode(np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), np.uint8)))
    bare, ours = [], []
    for _ in range(15):
        bare.append(time_bare(image))
        ours.append(time_ours(image, tmp_path))
    added = statistics.median(ours) - statistics.median(bare)
    print(f"\nbare {statistics.median(bare):.3f} s, handler {statistics.median(ours):.3f} s, added {added:.3f} s")
    assert added <= 0.15


def graph(image: str, prefix: str) -> dict[str, Any]:
    return {
        "10": {"class_type": "LoadImage", "inputs": {"image": image}},
        "70": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": prefix}},
    }


def time_bare(image: Path) -> float:
    """Time a graph from its submission to the message of its success; its picture is there already."""
    there, name = client.comfy(), str(uuid.uuid4())
    told_name = there.wire.upload(image, f"packshot-{name}", "noise.png")
    with connect(f"{URL.replace('http', 'ws')}/ws?clientId={name}", proxy=None) as socket:
        began = time.monotonic()
        there.wire.submit(graph(told_name, f"packshot-{name}/out"), name)
        while "execution_success" not in str(socket.recv(20)):
            pass
        took = time.monotonic() - began
    there.wire.forget(name)
    disk.find(there.wire).clean(f"packshot-{name}")
    return took


def time_ours(image: Path, folder: Path) -> float:
    """Time all that a handler does around the same graph: readiness, decode, upload, follow, download, clean."""
    work = Work(folder, lambda _r2, path: path, lambda *_: None, threading.Event())
    began = time.monotonic()
    with client.visit(VIDEO, work) as stay:
        stay.make(graph(stay.send(image, "noise"), ""), folder / "made.png")
    return time.monotonic() - began
