"""How a training can end badly: each way by its own error, and never with half a model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoModel

from gpu_handlers.comfyui import manifest
from gpu_handlers.train.lora import checkpoint
from storage.bucket import bucket
from tests.cramped import cramped
from tests.handlers.comfyui.desk import Desk
from tests.handlers.train import school
from tests.handlers.train.school import read_card, read_lora, train
from tools.outcome import Outcome

MODEL = "models/"


@pytest.fixture(autouse=True)
def unmodelled(s3: Mapping[str, str]) -> None:
    """Begin without models and checkpoints."""
    assert s3["S3_ENDPOINT_URL"]
    bucket.cache_clear()
    forget()


def forget() -> None:
    """Remove what earlier trainings have left."""
    for key in bucket().find(MODEL) + bucket().find("checkpoints/"):
        bucket().delete(key)


def failed(outcome: Outcome, code: str, *words: str) -> None:
    """Hold an attempt against the way in which it should have failed."""
    assert outcome.error is not None
    assert outcome.error["code"] == code, outcome.error
    assert all(word in outcome.error["detail"] for word in words), outcome.error["detail"]
    assert outcome.file is None
    assert bucket().find(MODEL) == [], "no half a model"


def alone(images: str, params: dict[str, Any] | None = None, **told: Any) -> subprocess.CompletedProcess[str]:
    """Make an attempt in a process of its own."""
    given = {**school.SMALL, "images": images, **(params or {})}
    task = {"job_id": "j1", "attempt_id": "alone", "tool": "train", "params": given, "found": {}}
    return subprocess.run(
        [sys.executable, "-m", "tests.handlers.train.alone"],
        input=json.dumps({"task": task, **told}), check=False, capture_output=True, text=True, cwd=Path.cwd(),
    )  # fmt: skip


def test_a_loss_that_is_no_number(base: str, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    with school.taught(tmp_path / "models", base):
        broken = tmp_path / "models" / "diffusers" / manifest.profile("train").names["base"] / "transformer"
        transformer = AutoModel.from_pretrained(str(broken))
        with torch.no_grad():
            transformer.proj_out.weight.fill_(1e30)
        transformer.save_pretrained(broken)
        failed(train(Desk(), school.put_photos()), "training_diverged", "step 1", "lower lr")


@pytest.mark.usefixtures("base")
def test_a_full_disk() -> None:
    images = school.put_photos()
    with cramped(2**20):
        failed(train(Desk(), images, lora_rank=128, steps=2), "disk_full", "make room")
    assert bucket().find("checkpoints/") == [], "nor half a checkpoint"


@pytest.mark.usefixtures("base")
def test_memory_that_is_not_enough() -> None:
    done = alone(school.put_photos(), {"resolution": 1024, "batch_size": 16}, spare_bytes=2**26)
    outcome = Outcome.model_validate_json(done.stdout)
    failed(outcome, "out_of_memory", "resolution 1024, batch_size 16 and lora_rank 4", "lower one of them")


@pytest.mark.usefixtures("base")
def test_a_worker_that_is_killed_is_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    images = school.put_photos()
    whole = read_lora(train(Desk(), images))
    forget()
    done = alone(images, every=2, kill_at=5)
    assert (done.returncode, done.stdout) == (-9, "")
    assert bucket().find(MODEL) == [], "no half a model"
    monkeypatch.setattr(checkpoint, "EVERY", 2)
    again = train(Desk(), images)
    assert read_card(again).resumed_from == 4
    gone_on = read_lora(again)
    assert whole.keys() == gone_on.keys()
    assert all(np.array_equal(whole[name], gone_on[name]) for name in whole), "bit for bit"


def test_a_base_that_is_not_there(base: str, tmp_path: Path) -> None:
    with school.taught(tmp_path, base):
        failed(train(Desk(), school.put_photos()), "model_missing", "packshot models train")


@pytest.mark.usefixtures("base")
def test_photos_that_are_none() -> None:
    bucket().put("datasets/train/none.zip", b"no zip")
    images = school.put_photos("one.zip").replace("one.zip", "none.zip")
    failed(train(Desk(), images), "bad_archive", "zip")
