"""Handlers over files on a local shelf: their only seam is how a file is fetched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.handlers.workbench import PHOTOS, Bench, draw_balls


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give an empty shelf."""
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Train two products once, from one photo each: the red bag, and the same bag dyed blue."""
    bench = Bench(tmp_path_factory.mktemp("models"))
    blue = bench.shelf / "blue.png"
    Image.fromarray(np.asarray(Image.open(PHOTOS[4]))[..., ::-1]).save(blue)
    bench.model("red", PHOTOS[4])
    bench.model("blue", blue)
    return bench.shelf / "red.safetensors", bench.shelf / "blue.safetensors"


@pytest.fixture
def red(bench: Bench, trained: tuple[Path, Path]) -> dict[str, dict[str, Any]]:
    """Give what the id of the red bag's model stands for."""
    return {"model_id": {"model_string": bench.put("red.safetensors", trained[0]), "trigger_word": "TOK_BAG"}}


@pytest.fixture
def blue(bench: Bench, trained: tuple[Path, Path]) -> dict[str, dict[str, Any]]:
    """Give what the id of the blue bag's model stands for."""
    return {"model_id": {"model_string": bench.put("blue.safetensors", trained[1]), "trigger_word": "TOK_BAG"}}


@pytest.fixture
def table(bench: Bench) -> str:
    """Lay a scene on the shelf: a red ball on the left and a larger blue one on the right, on a grey table."""
    return bench.put("table.png", draw_balls())
