"""What goes wrong at ComfyUI, and what a job then says; whatever it is, ComfyUI is left free."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from gpu_handlers.comfyui import client, follow, process
from tests.handlers.comfyui.desk import Desk, draw_ball
from tests.handlers.comfyui.faults import NOT_FOUND, OOM
from tests.handlers.comfyui.standin import StandIn
from tools.outcome import Outcome

FILM: dict[str, Any] = {"width": 128, "height": 128, "length": 5, "steps": 4, "seed": 1}


@pytest.fixture(name="scene")
def store_scene(desk: Desk) -> str:
    return desk.put("scene.png", draw_ball(64, 64))


def error(outcome: Outcome) -> dict[str, Any]:
    assert outcome.error is not None, outcome
    return outcome.error


def soon(true: Callable[[], object]) -> None:
    """Wait for what is about to be true."""
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def meanwhile(act: Callable[[], object], when: Callable[[], object]) -> threading.Thread:
    """Do something beside the attempt, as soon as it is time."""

    def go() -> None:
        soon(when)
        act()

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_a_gpu_without_memory_is_told_by_node(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.failing["KSamplerAdvanced"] = OOM
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert (said["code"], said["retryable"], said["node"]) == ("out_of_memory", False, "50")
    assert "smaller picture" in said["detail"]


def test_a_node_that_fails_is_named_without_its_traceback(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.failing["VAEDecode"] = {"exception_type": "RuntimeError", "exception_message": "boom\n"}
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert (said["code"], said["node"], said["node_type"]) == ("node_execution_error", "60", "VAEDecode")
    assert said["detail"].endswith("RuntimeError: boom")
    assert "/opt" not in str(said)


def test_a_broken_gpu_asks_for_a_new_process(desk: Desk, comfy: StandIn, scene: str) -> None:
    text = "CUDA error: an illegal memory access was encountered"
    comfy.faults.failing["VAEDecode"] = {"exception_type": "RuntimeError", "exception_message": text}
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert (said["code"], said["retryable"]) == ("comfyui_crashed", True)


def test_another_node_that_says_not_found_is_not_our_detector(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.failing["VAEDecode"] = NOT_FOUND | {"exception_message": "file OBJECT_NOT_FOUND"}
    assert error(desk.ask("video", image_url=scene, **FILM))["code"] == "node_execution_error"


@pytest.mark.parametrize(
    ("loader", "file", "folder"),
    [
        ("UNETLoader.unet_name", "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors", "diffusion_models"),
        ("VAELoader.vae_name", "wan_2.1_vae.safetensors", "vae"),
    ],
)
def test_a_missing_model_is_named_with_its_folder(
    desk: Desk, comfy: StandIn, loader: str, file: str, folder: str
) -> None:
    comfy.uninstall(loader, file)
    said = error(desk.ask("video", image_url=desk.put("scene.png", draw_ball(64, 64)), **FILM))
    assert (said["code"], said["retryable"], said["file"], said["folder"]) == ("model_missing", False, file, folder)
    assert comfy.submitted == 0, "it was seen before the graph was sent"


def test_a_model_that_goes_missing_later_is_named_too(desk: Desk, comfy: StandIn, scene: str) -> None:
    assert desk.ask("video", image_url=scene, **FILM).file
    comfy.uninstall("VAELoader.vae_name", "wan_2.1_vae.safetensors")
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert (said["code"], said["file"], said["folder"]) == ("model_missing", "wan_2.1_vae.safetensors", "vae")


def test_a_model_that_a_node_would_fetch_by_itself_is_missing(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.failing["DownloadAndLoadSAM2Model"] = {
        "exception_type": "huggingface_hub.errors.LocalEntryNotFoundError",
        "exception_message": "Cannot find an appropriate cached snapshot folder",
    }
    said = error(desk.ask("mask", image_url=scene, object_name="ball"))
    assert (said["code"], said["node_type"], said["retryable"]) == ("model_missing", "DownloadAndLoadSAM2Model", False)


def test_a_missing_node_is_named(desk: Desk, comfy: StandIn, scene: str) -> None:
    del comfy.info["GrowMaskWithBlur"]
    said = error(desk.ask("mask", image_url=scene, object_name="ball"))
    assert (said["code"], said["node"]) == ("model_missing", "GrowMaskWithBlur")


def test_nodes_and_models_are_looked_up_once(desk: Desk, comfy: StandIn, scene: str) -> None:
    desk.ask("video", image_url=scene, **FILM)
    asked = len(comfy.looked_up)
    assert asked > 5
    desk.ask("video", image_url=scene, **FILM)
    assert len(comfy.looked_up) == asked


def test_a_graph_that_is_taken_in_part_is_refused_and_not_run(
    desk: Desk, comfy: StandIn, scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client.Visit.make

    def make(stay: client.Visit, graph: Any, path: Any) -> Any:
        graph["71"] = {"class_type": "SaveImage", "inputs": {"images": ["999", 0], "filename_prefix": "x"}}
        return real(stay, graph, path)

    comfy.faults.step_s = 0.1
    monkeypatch.setattr(client.Visit, "make", make)  # a graph of ours that is broken, as no graph of ours is
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert said["code"] == "handler_failed"
    assert "node 71 (SaveImage)" in said["detail"]
    soon(lambda: not comfy.running and not comfy.pending)
    assert all(not entry["outputs"] for entry in comfy.history.values())


@pytest.mark.parametrize("ears", ["deaf", "mute", "breaking"])
def test_a_lost_websocket_loses_no_job(desk: Desk, comfy: StandIn, scene: str, ears: str) -> None:
    comfy.faults.deaf, comfy.faults.mute = ears == "deaf", ears == "mute"
    comfy.faults.breaks_after = 12 if ears == "breaking" else 10**9
    assert desk.ask("video", image_url=scene, **FILM).file


def test_a_history_that_comes_late_is_waited_for(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.late_s = 0.5
    outcome = desk.ask("video", image_url=scene, **FILM)
    assert outcome.file
    assert outcome.seconds < 2, "it is looked for often once its end was told"


def test_a_cancel_interrupts_what_runs_within_a_second(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.step_s = 0.3
    began: list[float] = []

    def stop() -> None:
        began.append(time.monotonic())
        desk.stop.set()

    beside = meanwhile(stop, lambda: "progress" in comfy.said)
    said = error(desk.ask("video", image_url=scene, **FILM | {"steps": 50}))
    beside.join()
    assert said["code"] == "cancelled"
    soon(lambda: comfy.interrupted_at)
    assert comfy.interrupted_at[0] - began[0] < 1  # the loop's clock is the monotonic one
    soon(lambda: not comfy.running)


def test_a_cancel_interrupts_also_where_the_queue_was_not_to_be_had(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.step_s, comfy.faults.hangs_up = 0.1, True
    beside = meanwhile(desk.stop.set, lambda: "progress" in comfy.said)
    assert error(desk.ask("video", image_url=scene, **FILM | {"steps": 50}))["code"] == "cancelled"
    beside.join()
    soon(lambda: comfy.interrupted_at)


def test_an_interrupt_from_elsewhere_is_a_cancel_too(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.step_s = 0.1

    def interrupt() -> None:
        httpx.post(f"{comfy.url}/interrupt", json={"prompt_id": comfy.running[0][1]})

    beside = meanwhile(interrupt, lambda: "progress" in comfy.said)
    assert error(desk.ask("video", image_url=scene, **FILM | {"steps": 50}))["code"] == "cancelled"
    beside.join()


def test_a_cancel_takes_what_waits_out_of_the_queue(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.step_s = 0.2
    other = Desk()
    first = threading.Thread(target=lambda: other.ask("video", image_url=scene, **FILM | {"steps": 10}))
    first.start()
    soon(lambda: comfy.running)
    beside = meanwhile(desk.stop.set, lambda: comfy.pending)
    assert error(desk.ask("video", image_url=scene, **FILM))["code"] == "cancelled"
    beside.join()
    assert (comfy.pending, comfy.interrupted_at, len(comfy.running)) == ([], [], 1), "the other one goes on"
    other.stop.set()
    first.join()


def test_a_job_has_a_deadline_of_its_own(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.step_s = 0.2
    desk.timeout_s = 2.0  # of which half is kept for what comes after
    said = error(desk.ask("video", image_url=scene, **FILM | {"steps": 100}))
    assert (said["code"], said["retryable"]) == ("execution_timeout", True)
    soon(lambda: comfy.interrupted_at)


@pytest.mark.parametrize("loss", ["lose_queue", "restart"])
def test_a_lost_queue_is_a_crash_that_may_be_tried_again(desk: Desk, comfy: StandIn, scene: str, loss: str) -> None:
    comfy.faults.step_s = 0.1
    beside = meanwhile(getattr(comfy, loss), lambda: "progress" in comfy.said)
    said = error(desk.ask("video", image_url=scene, **FILM | {"steps": 100}))
    beside.join()
    assert (said["code"], said["retryable"]) == ("comfyui_crashed", True)
    comfy.faults.step_s, asked = 0.0, len(comfy.looked_up)
    assert desk.ask("video", image_url=scene, **FILM).file, "the next job finds ComfyUI again"
    assert len(comfy.looked_up) > asked, "and does not believe what was there before"


def test_a_comfyui_that_goes_away_is_a_crash(
    desk: Desk, comfy: StandIn, scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_S", 0.2)
    comfy.faults.step_s = 0.1
    beside = meanwhile(comfy.go_away, lambda: "progress" in comfy.said)
    said = error(desk.ask("video", image_url=scene, **FILM | {"steps": 100}))
    beside.join()
    assert said["code"] == "comfyui_crashed"
    comfy.restart()


def test_a_comfyui_that_never_answers_is_named(
    desk: Desk, comfy: StandIn, scene: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.go_away()
    monkeypatch.setattr(process, "PATIENCE_S", 0.3)
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert said["code"] == "comfyui_crashed"
    assert said["detail"] == f"ComfyUI does not answer at {comfy.url}: start it, or correct COMFYUI_URL."
    comfy.restart()


def test_a_comfyui_that_is_too_old_is_told(desk: Desk, comfy: StandIn, scene: str) -> None:
    comfy.faults.old, comfy.faults.step_s = True, 0.1
    said = error(desk.ask("video", image_url=scene, **FILM))
    assert said["detail"] == "This ComfyUI gives ids of its own, as those before 0.25.0 do: use a newer one."
    soon(lambda: not comfy.running and not comfy.pending)
    assert all(not entry["outputs"] for entry in comfy.history.values())


def test_an_output_that_is_not_there_is_no_picture(desk: Desk, comfy: StandIn, found: Mapping[str, Any]) -> None:
    comfy.faults.forgetful = True
    said = error(desk.ask("generate", found, model_id=1, prompt="TOK_BAG", width=256, height=256))
    assert (said["code"], said["retryable"]) == ("no_output", True)
