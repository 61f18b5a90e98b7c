"""`packshot demo` as a stranger runs it: on a house that is up, with a job that fails, and stopped half-way."""

import json
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from embedded import orphans
from tests.conftest import Process, Processes

NO_SERVERS = {"DATABASE_URL": "", "REDIS_URL": "", "S3_ENDPOINT_URL": "", "API_PORT": "0", "FLOWER_PORT": "0"}
TOOLS = ["train", "resolve_template", "generate", "mask", "inpaint", "video"]
PATIENCE_S = 120


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder that PostgreSQL can pass through to when we are root."""
    made = Path(tempfile.mkdtemp(prefix="packshot-tests-"))
    made.chmod(0o711)
    yield made
    for data in ("data", "own"):
        orphans.end(made / data, patience_s=1)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[Process]:
    """Run the whole house once."""
    starter = Processes(folder)
    up = starter.start("packshot", "up", env={**NO_SERVERS, "PACKSHOT_DATA_DIR": str(folder / "data")})
    up.wait_for(lambda: "Packshot is up." in up.said(), PATIENCE_S)
    yield up
    up.popen.send_signal(signal.SIGINT)
    up.popen.wait(60)
    up.kill()


def demo(processes: Processes, data: Path, out: Path) -> Process:
    env = {**NO_SERVERS, "PACKSHOT_DATA_DIR": str(data)}
    return processes.start("packshot", "demo", "--small", "--out", str(out), env=env)


def steps(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "report.json").read_text())["steps"]
    return found


def decode(file: Path) -> list[Any]:
    """Give all that a file shows, as arrays."""
    if file.suffix == ".safetensors":
        return [tensor for _, tensor in sorted(load_file(file).items())]
    if file.suffix == ".png":
        with Image.open(file) as image:
            return [np.asarray(image)]
    with av.open(str(file)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def ask(data: Path, path: str, body: bytes | None = None) -> Any:
    port = json.loads((data / "ports.json").read_text())["api"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.usefixtures("house")
def test_both_runs_do_all_six_tools_and_come_to_the_same(processes: Processes, folder: Path, tmp_path: Path) -> None:
    shown = demo(processes, folder / "data", tmp_path)
    assert shown.popen.wait(PATIENCE_S) == 0, shown.said()
    assert "runs already" in shown.said()
    assert "All 12 steps of both runs completed" in shown.said()
    assert ask(folder / "data", "/health") == {"status": "ok"}  # it was not ours to stop

    told = steps(tmp_path)
    assert [step["step"] for step in told] == [f"{run}.{tool}" for run in ("http", "celery") for tool in TOOLS]
    assert all(list(step) == ["step", "tool", "status", "seconds", "r2_path", "file"] for step in told)
    assert {step["status"] for step in told} == {"completed"}
    assert [step["tool"] for step in told if step["file"] is None or step["r2_path"] is None] == [
        "resolve_template"
    ] * 2
    over_http, as_chain = told[:6], told[6:]
    for first, second in zip(over_http, as_chain, strict=True):
        if first["file"]:
            assert first["r2_path"] != second["r2_path"]  # made anew, not served twice
            pair = zip(decode(Path(first["file"])), decode(Path(second["file"])), strict=True)
            assert all(np.array_equal(one, other) for one, other in pair), first["tool"]
    assert len(decode(Path(told[5]["file"]))) == 5


@pytest.mark.usefixtures("house")
def test_a_step_that_fails_is_named_with_its_reason_and_the_logs(
    processes: Processes, folder: Path, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    data = folder / "data"
    before = {job["job_id"] for job in ask(data, "/api/jobs?tool=train")["data"]}
    shown = demo(processes, data, tmp_path)

    def begun() -> list[str]:
        return [job["job_id"] for job in ask(data, "/api/jobs?tool=train")["data"] if job["job_id"] not in before]

    wait_until(begun)
    ask(data, f"/api/jobs/{begun()[0]}/cancel", b"{}")
    assert shown.popen.wait(PATIENCE_S) == 1, shown.said()
    assert "http.train failed: The job was cancelled." in shown.said()
    assert f"Look into the logs in {data / 'log'}" in shown.said()
    assert [(step["step"], step["status"], step["file"]) for step in steps(tmp_path)] == [
        ("http.train", "failed", None)
    ]


def test_ctrl_c_while_a_house_of_its_own_comes_up_leaves_nobody_behind(
    processes: Processes, folder: Path, tmp_path: Path
) -> None:
    shown = demo(processes, folder / "own", tmp_path)
    shown.wait_for((folder / "own" / "log" / "migrate.log").exists, PATIENCE_S)
    assert list(orphans.find(folder / "own"))
    shown.popen.send_signal(signal.SIGINT)
    assert shown.popen.wait(PATIENCE_S) == 130, shown.said()
    assert "Stopped before the end, as you asked." in shown.said()
    assert "Traceback" not in shown.said()
    assert not list(orphans.find(folder / "own"))
