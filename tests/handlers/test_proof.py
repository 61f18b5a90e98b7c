"""A file is proven by decoding it to its end."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpu_handlers.proof import prove
from tests.handlers.workbench import PHOTOS, Bench
from tools.contract import Params
from tools.errors import NoOutput
from tools.generate import GenerateParams
from tools.video import VideoParams


def test_a_file_that_is_not_there_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(NoOutput, match="left no file"):
        prove(tmp_path / "none.png", ".png", Params())


def test_a_whole_picture_passes() -> None:
    prove(PHOTOS[0], ".png", Params())


@pytest.mark.parametrize("kept", [10, 1000, 200_000])
def test_a_torn_picture_is_found_out(tmp_path: Path, kept: int) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(PHOTOS[0].read_bytes()[:kept])
    with pytest.raises(NoOutput, match=r"\.png file that cannot be read"):
        prove(torn, ".png", Params())


def test_a_flipped_bit_in_a_picture_is_found_out(tmp_path: Path) -> None:
    data = bytearray(PHOTOS[0].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.png").write_bytes(data)
    with pytest.raises(NoOutput):
        prove(tmp_path / "flipped.png", ".png", Params())


def test_a_picture_of_another_size_is_found_out() -> None:
    asked = GenerateParams(model_id=1, prompt="x", width=512, height=1024)
    with pytest.raises(NoOutput, match="512×512 pixels and not 512×1024"):
        prove(PHOTOS[0], ".png", asked)


def test_a_film_must_have_every_frame(bench: Bench, table: str) -> None:
    asked = {"image_url": table, "width": 128, "height": 128, "length": 9, "seed": 1}
    film = bench.do("video", asked).path
    prove(film, ".mp4", VideoParams.model_validate(asked))
    with pytest.raises(NoOutput, match="it has 9 frames"):
        prove(film, ".mp4", VideoParams.model_validate({**asked, "length": 13}))


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_torn_film_is_found_out(bench: Bench, table: str, tmp_path: Path, part: float) -> None:
    asked = {"image_url": table, "width": 128, "height": 128, "length": 9, "seed": 1}
    film = bench.do("video", asked).path.read_bytes()
    (tmp_path / "torn.mp4").write_bytes(film[: int(len(film) * part)])
    with pytest.raises(NoOutput, match=r"\.mp4 file that cannot be read"):
        prove(tmp_path / "torn.mp4", ".mp4", VideoParams.model_validate(asked))


@pytest.mark.parametrize(
    ("number", "sentence"), [(np.nan, "not finite"), (np.inf, "not finite"), (None, "holds no tensor")]
)
def test_a_model_of_nothing_or_of_no_numbers_is_found_out(tmp_path: Path, number: float | None, sentence: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file({} if number is None else {"a": np.array([1.0, number])}, path)
    with pytest.raises(NoOutput, match=sentence):
        prove(path, ".safetensors", Params())


def test_what_is_no_model_is_found_out() -> None:
    with pytest.raises(NoOutput, match="cannot be read"):
        prove(PHOTOS[0], ".safetensors", Params())
