"""Objects are found: known ones by their looks, others by how they stand out; and doubt is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from benchmarks.portraits import take
from gpu_handlers import appearance, cutout, pixels
from gpu_handlers.pixels import Pixels, mix, to_pixels, to_plane
from gpu_handlers.regions import overlap
from tests.handlers.workbench import Bench, draw_balls, read_stranger
from tools.errors import ObjectNotFound

#: Where the small bag stands in a scene of two large balls: left, top, width.
PLACE = (330, 370, 120)


@pytest.fixture(name="crowded")
def set_bag_beside_balls(trained: tuple[Path, Path]) -> tuple[Pixels, Any]:
    """Set the trained bag, small and dim, beside two balls that stand out more; give the picture and where it is."""
    scene = to_plane(draw_balls(512))
    left, top, wide = PLACE
    view = appearance.load(trained[0], "model_id").show(0)
    view = pixels.enlarge(view, wide, round(wide * view.shape[0] / view.shape[1]))
    box = np.s_[top : top + view.shape[0], left : left + wide]
    scene[box] = mix(scene[box], view[..., :3] * 0.75, view[..., 3])
    truth = np.zeros((512, 512), bool)
    truth[box] = view[..., 3] > 0.5
    return to_pixels(scene), truth


def mask(bench: Bench, picture: Pixels, found: Any = None) -> Any:
    asked = {"image_url": bench.put("s.png", picture), "object_name": "TOK_BAG", "mask_dilation": 0, "mask_blur": 0}
    done = bench.do("mask", asked, {"object_name": found} if found else {})
    return done, done.pixels[..., 0] > 127


def test_a_trained_product_is_found_though_others_stand_out_more(
    bench: Bench, crowded: tuple[Pixels, Any], red: dict[str, dict[str, Any]]
) -> None:
    picture, truth = crowded
    known = {**red["model_id"], "name": "Bag"}
    done, region = mask(bench, picture, known)
    assert overlap(region, truth) > 0.8
    assert done.work.facts["known_product"] == "Bag"
    assert ("noun_not_read", "/object_name") not in done.warned
    other, salient = mask(bench, picture)
    assert overlap(salient, truth) < 0.1, "without its model, the ball is taken"
    assert ("noun_not_read", "/object_name") in other.warned


def test_a_trained_product_that_is_not_there_is_not_found(bench: Bench, red: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(ObjectNotFound):
        mask(bench, draw_balls(512), {**red["model_id"], "name": "Bag"})


@pytest.mark.parametrize("name", ["astronaut", "camera", "rocket", "moon"])
def test_a_bad_outline_of_a_strangers_photo_comes_with_a_warning(bench: Bench, name: str) -> None:
    done, _ = mask(bench, read_stranger(name))
    assert ("low_confidence", "/image_url") in done.warned


@pytest.mark.parametrize("photo", [load_sample_image("flower.jpg"), read_stranger("coffee")], ids=["flower", "coffee"])
def test_a_good_outline_of_a_strangers_photo_comes_without_one(bench: Bench, photo: Pixels) -> None:
    done, region = mask(bench, photo)
    assert ("low_confidence", "/image_url") not in done.warned
    assert region[region.shape[0] // 2, region.shape[1] // 2]


def test_confidence_tells_right_outlines_from_wrong_ones() -> None:
    portraits = list(take(16))
    found = [cutout.find(each.image) for each in portraits]
    sure = np.array([one.confidence if one else 0.0 for one in found])
    agreed = np.array(
        [overlap(one.alpha > 0.5, each.truth > 0.5) if one else 0.0 for one, each in zip(found, portraits, strict=True)]
    )
    assert np.median(agreed) > 0.9
    assert sure[agreed > 0.75].mean() > sure[agreed <= 0.75].mean() + 0.1
