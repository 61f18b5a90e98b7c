"""What a training is known by."""

from collections.abc import Iterator

import pytest

from gpu_handlers.train import record
from settings import settings
from tools.card import Photo
from tools.train import TrainParams

PARAMS = TrainParams(images="r2://b/datasets/x.zip", model_name="Bag", trigger_word="TOK_BAG")
PHOTO = Photo(
    name="a.png", caption="TOK_BAG", width=8, height=8, trained_width=8, trained_height=8, sha256="aa", source=None
)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("GENERATE_PROFILE", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_all_that_the_weights_follow_from_is_in_the_name_of_a_training() -> None:
    one = record.identify(PARAMS, [PHOTO], "FLUX.1-dev")
    others = [
        record.identify(PARAMS, [PHOTO], "FLUX.2-klein-base-4B"),
        record.identify(PARAMS, [PHOTO, PHOTO], "FLUX.1-dev"),
        *(record.identify(PARAMS, [PHOTO.model_copy(update=change)], "FLUX.1-dev")
          for change in ({"caption": "TOK_BAG, red"}, {"sha256": "bb"})),
        *(record.identify(PARAMS.model_copy(update=change), [PHOTO], "FLUX.1-dev")
          for change in ({"steps": 7}, {"lr": 1e-3}, {"lora_rank": 8}, {"batch_size": 2}, {"resolution": 512})),
    ]  # fmt: skip
    assert len({one, *others}) == 10


def test_what_a_model_is_called_is_not() -> None:
    renamed = PARAMS.model_copy(update={"model_name": "Another", "images": "r2://b/datasets/y.zip"})
    assert record.identify(PARAMS, [PHOTO], "FLUX.1-dev") == record.identify(renamed, [PHOTO], "FLUX.1-dev")


def test_the_licence_of_the_base_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    base = record.describe(PARAMS)["base"]
    assert (base.name, base.commercial, base.generates_with) == ("FLUX.1-dev", False, "flux1-dev-fp8")
    monkeypatch.setenv("GENERATE_PROFILE", "flux2-klein-4b")
    settings.cache_clear()
    base = record.describe(PARAMS)["base"]
    assert (base.name, base.licence, base.commercial) == ("FLUX.2-klein-base-4B", "Apache-2.0", True)
