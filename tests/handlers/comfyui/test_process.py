"""ComfyUI as a process of ours: awaited while it lives, missed when it dies, started again."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from embedded.ports import answers, any_free
from gpu_handlers.comfyui import client
from storage.bucket import bucket
from tests.handlers.comfyui.conftest import told
from tests.handlers.comfyui.desk import Desk, draw_ball

FILM: dict[str, Any] = {"width": 128, "height": 128, "length": 5, "steps": 4, "seed": 1}
ROOT = Path(__file__).parents[3]


@pytest.fixture(name="begin")
def give_begin(
    tmp_path: Path, s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Desk]]:
    """Give what makes a desk whose ComfyUI is started by a command; `{port}` and `{home}` stand for its own."""
    assert s3
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tellings: list[told] = []

    def begin(command: str) -> Desk:
        command = command.format(python=shlex.quote(sys.executable), port=port, home=tmp_path / "comfyui")
        tellings.append(told(monkeypatch, COMFYUI_URL=f"http://127.0.0.1:{port}", COMFYUI_COMMAND=command))
        tellings[0].__enter__()
        bucket.cache_clear()
        return Desk()

    yield begin
    for telling in tellings:
        telling.__exit__()
    bucket.cache_clear()


SERVE = "{python} -m tests.handlers.comfyui.standin --port {port} --home {home} --step-s 0.05"


def child() -> int:
    process = client.comfy().process._child
    assert process is not None
    return process.pid


def kill_when_sampling(desk: Desk) -> threading.Thread:
    def go() -> None:
        until = time.monotonic() + 20
        while "sampling" not in [stage for _, stage in desk.told]:
            assert time.monotonic() < until
            threading.Event().wait(0.01)
        os.kill(child(), signal.SIGKILL)

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_it_is_started_awaited_missed_and_started_again(begin: Callable[[str], Desk]) -> None:
    desk = begin(SERVE)
    scene = desk.put("scene.png", draw_ball(64, 64))
    beside = kill_when_sampling(desk)
    began = time.monotonic()
    outcome = desk.ask("video", image_url=scene, **FILM | {"steps": 100})
    beside.join()
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["retryable"]) == ("comfyui_crashed", True)
    assert outcome.error["detail"] == "ComfyUI died while it worked: its process ended with code -9."
    assert time.monotonic() - began < 8
    assert desk.ask("video", image_url=scene, **FILM).file, "the next job starts another"


ALONE = """
import sys, threading, time
from gpu_handlers.comfyui.process import Process
from gpu_handlers.comfyui.wire import Wire
there = Process(sys.argv[1])
there.await_ready(Wire(sys.argv[2]), threading.Event(), time.monotonic() + 60)
print("ready", flush=True)
threading.Event().wait()
"""


def test_it_ends_with_a_handler_that_was_killed(tmp_path: Path) -> None:
    port = any_free(set())
    command = SERVE.format(python=shlex.quote(sys.executable), port=port, home=tmp_path / "comfyui")
    alone = (sys.executable, "-c", ALONE, command, f"http://127.0.0.1:{port}")
    with subprocess.Popen(alone, cwd=ROOT, stdout=subprocess.PIPE, text=True) as handler:
        assert handler.stdout
        assert handler.stdout.readline() == "ready\n"
        assert answers(port)
        handler.kill()
    until = time.monotonic() + 60
    while answers(port):
        assert time.monotonic() < until
        threading.Event().wait(0.05)


def test_one_that_dies_at_its_start_is_told_at_once(begin: Callable[[str], Desk]) -> None:
    desk = begin("{python} -c 'import sys; sys.exit(3)'")
    outcome = desk.ask("video", image_url=desk.put("scene.png", draw_ball(64, 64)))
    assert outcome.error is not None
    assert outcome.error["detail"] == "ComfyUI did not start: its process ended with code 3. Its log says why."
    assert outcome.seconds < 5


def test_a_cancel_is_heard_while_it_starts(begin: Callable[[str], Desk]) -> None:
    desk = begin("sleep 60")
    scene = desk.put("scene.png", draw_ball(64, 64))
    threading.Timer(0.3, desk.stop.set).start()
    outcome = desk.ask("video", image_url=scene)
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.seconds < 2) == ("cancelled", True)
