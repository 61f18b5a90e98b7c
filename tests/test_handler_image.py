"""The handler image and RunPod's files, as far as they can be read without building anything."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gpu_handlers.comfyui import manifest
from settings import Settings
from tools import catalog

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".runpod"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
TRAINER = (FOLDER / "Dockerfile.train").read_text()
IMAGES = pytest.mark.parametrize("image", [DOCKERFILE, TRAINER], ids=["handlers", "training"])
HUB: dict[str, Any] = json.loads((FOLDER / "hub.json").read_text())
TESTS: dict[str, Any] = json.loads((FOLDER / "tests.json").read_text())


def known(name: str) -> bool:
    return name.lower() in Settings.model_fields


def test_every_source_is_a_whole_commit() -> None:
    pins = dict(re.findall(r"^ARG (COMFYUI|FLORENCE2|SAM2|KJNODES)=(\w+)$", DOCKERFILE, re.MULTILINE))
    assert len(pins) == 4
    assert all(re.fullmatch(r"[0-9a-f]{40}", pin) for pin in pins.values())
    told = {node.split("@")[1] for node in manifest.manifest("mask").nodes if "@" in node}
    assert told == set(pins.values()) - {pins["COMFYUI"]}


@IMAGES
def test_it_does_not_run_as_root(image: str) -> None:
    running = [stage for stage in re.split(r"^FROM .+$", image, flags=re.MULTILINE) if "CMD [" in stage]
    assert running
    for stage in running:
        assert re.findall(r"^USER (\S+)$", stage, re.MULTILINE) in (["10001"], ["packshot"])
        assert stage.index("USER ") < stage.index("CMD [")


def test_what_is_built_unless_one_asks_is_for_runpod() -> None:
    *_, last = re.split(r"^FROM .+$", DOCKERFILE, flags=re.MULTILINE)
    assert 'CMD ["python", "-m", "gpu_handlers.entry"]' in last


@IMAGES
def test_all_that_is_copied_is_there(image: str) -> None:
    for line in re.findall(r"^COPY (.+)$", image, re.MULTILINE):
        *sources, _target = line.split()
        assert all((ROOT / source).exists() for source in sources), line


@IMAGES
def test_what_the_handlers_import_is_copied(image: str) -> None:
    handler, *box = re.split(r"^FROM comfyui AS box$", image, flags=re.MULTILINE)
    copied = set(re.findall(r"^COPY (\w+) \w+$", handler, re.MULTILINE))
    assert all(set(re.findall(r"^COPY (\w+) \w+$", own, re.MULTILINE)) == {"db", "tasks"} for own in box)
    assert copied == {"tools", "storage", "gpu_handlers"}


@IMAGES
def test_nobody_fetches_a_model_while_a_job_waits(image: str) -> None:
    assert image.index("gpu_handlers.comfyui.pull") < image.index("HF_HUB_OFFLINE=1")


@pytest.mark.parametrize("name", ["checkout.sh", "comfyui.sh"])
def test_the_scripts_are_sound(name: str) -> None:
    assert (FOLDER / name).stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(FOLDER / name)], check=True)


@IMAGES
def test_every_variable_of_the_image_is_a_setting_of_ours(image: str) -> None:
    block = image[image.index("ENV PYTHONPATH") : image.index("RUN --mount")]
    names = set(re.findall(r"([A-Z_0-9]+)=", block)) - {"PYTHONPATH", "PYTHONUNBUFFERED", "PATH"}
    assert {name for name in names if not known(name)} == {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}


def test_the_hub_asks_for_settings_of_ours() -> None:
    assert (HUB["type"], HUB["category"], HUB["config"]["runsOn"]) == ("serverless", "image", "GPU")
    assert [entry["key"] for entry in HUB["config"]["env"] if not known(entry["key"])] == []
    for entry in HUB["config"]["env"]:
        if entry["key"].endswith("_PROFILE"):
            tool = entry["key"].removesuffix("_PROFILE").lower()
            assert manifest.manifest(tool).find(entry["input"]["default"])


@pytest.mark.parametrize("tool", ["generate", "inpaint", "video"])
def test_the_hub_names_every_choice_of_models(tool: str) -> None:
    known = json.loads((FOLDER.parent / "gpu_handlers" / tool / "models.json").read_text())
    (asked,) = [one["input"]["description"] for one in HUB["config"]["env"] if one["key"] == f"{tool.upper()}_PROFILE"]
    named = re.split(r"[ ,;()]+", asked)
    assert [one["name"] for one in known["profiles"] if one["name"] not in named] == []


def test_the_hubs_test_is_a_job_that_an_entry_takes() -> None:
    for test in TESTS["tests"]:
        task = test["input"]
        assert task.keys() == {"job_id", "attempt_id", "tool", "params", "found"}
        assert catalog.find(task["tool"]).check(task["params"])
    assert all(known(entry["key"]) for entry in TESTS["config"]["env"])


def test_the_hub_finds_what_it_looks_for() -> None:
    assert {"Dockerfile", "handler.py", "hub.json", "tests.json"} <= {path.name for path in FOLDER.iterdir()}
    assert (ROOT / "README.md").is_file()
