"""What was trained, in a real ComfyUI whose base models have the sizes of ours: `make test-train COMFYUI_URL=…`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from storage.bucket import bucket
from tests.handlers.comfyui.conftest import told
from tests.handlers.comfyui.desk import Desk
from tests.handlers.comfyui.living import PICTURE
from tests.handlers.train import school

URL = os.environ.get("COMFYUI_URL", "")

#: What ComfyUI says of a part of a LoRA that it leaves out, and of one that it cannot add.
LEFT_OUT = ("lora key not loaded", "ERROR lora")

pytestmark = pytest.mark.skipif(not URL, reason="COMFYUI_URL names no ComfyUI")


@pytest.fixture(params=["flux1-dev-fp8", "flux2-klein-4b"])
def profile(request: pytest.FixtureRequest, models: Path, s3: Mapping[str, str]) -> Iterator[str]:
    assert s3["S3_ENDPOINT_URL"]
    with school.taught(models, request.param):
        yield request.param


def read_log() -> str:
    entries: list[dict[str, str]] = httpx.get(f"{URL}/internal/logs/raw").json()["entries"]
    return "".join(entry["m"] for entry in entries)


def test_what_was_trained_changes_pictures_in_comfyui(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = school.train(Desk(), school.put_photos(), lr=1e-2)
    assert model.file is not None, model.error
    found: dict[str, Any] = {"model_id": {"model_string": model.file.r2_path, "trigger_word": "TOK_BAG"}}
    before = read_log()
    with told(monkeypatch, COMFYUI_URL=URL, GENERATE_PROFILE=profile):
        bucket.cache_clear()
        pictures = [Desk().make("generate", found, **PICTURE, lora_scale=scale) for scale in (0.0, 1.0, 1.0)]
    without, with_it, again = (picture.astype(int) for picture in pictures)
    changed = float(np.abs(with_it - without).mean())
    print(f"\n{profile}: the LoRA changes a pixel by {changed:.2f} of 255")
    assert changed > 0.5
    assert np.array_equal(with_it, again)
    said = read_log().removeprefix(before)
    assert not [line for line in said.splitlines() if any(words in line for words in LEFT_OUT)]
