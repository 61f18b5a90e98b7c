"""What people send that is out of the ordinary: soft masks, glass, transparent photos, products that fill the frame."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.portraits import SCENES, bag
from gpu_handlers import appearance, cutout, lexicon, pixels, scenery
from gpu_handlers.pixels import Pixels, Plane, chance, floats, to_pixels
from gpu_handlers.regions import overlap
from gpu_handlers.video.preview import moves
from tests.handlers.workbench import PHOTOS, Bench, draw_balls, read_stranger
from tools.errors import InvalidInput


def inpaint(bench: Bench, mask: Pixels, scene: Pixels | None = None, reference: Pixels | Path = PHOTOS[4]) -> Any:
    shown = draw_balls() if scene is None else scene
    asked = {"scene_url": bench.put("scene.png", shown), "mask_url": bench.put("mask.png", mask), "seed": 1}
    return bench.do("inpaint", {**asked, "reference_url": bench.put("reference.png", reference)})


def white(shape: tuple[int, int], box: tuple[slice, slice] | slice, level: int = 0) -> Pixels:
    mask = np.full((*shape, 3), level, np.uint8)
    mask[box] = 255
    return mask


def test_a_mask_that_is_nowhere_quite_black_is_filled_all_the_same(bench: Bench) -> None:
    done = inpaint(bench, white((256, 256), np.s_[100:200, 100:200], level=30))
    assert done.pixels.shape == (256, 256, 3)
    assert (done.pixels[105:195, 105:195].astype(int) - draw_balls()[105:195, 105:195]).any()


def test_a_mask_of_fine_lines_is_filled(bench: Bench) -> None:
    lines = np.zeros((2400, 2400, 3), np.uint8)
    lines[::30] = 255
    assert inpaint(bench, lines, draw_balls(2400)).pixels.shape == (2400, 2400, 3)


def test_a_long_narrow_scene_is_filled(bench: Bench) -> None:
    scene = np.ascontiguousarray(pixels.resize(draw_balls(), 2000, 40))
    assert inpaint(bench, white((40, 2000), np.s_[:, 100:1900]), scene).pixels.shape == (40, 2000, 3)


def test_a_product_that_fills_the_frame_is_filmed(bench: Bench) -> None:
    picture = np.full((256, 256, 3), 240, np.uint8)
    picture[5:251, 5:251] = (30, 90, 160)
    asked = {"image_url": bench.put("box.png", picture), "width": 256, "height": 256, "length": 5, "seed": 1}
    assert bench.do("video", asked).path.stat().st_size > 0


def test_glass_keeps_its_colour(bench: Bench) -> None:
    glass = np.zeros((80, 80, 4), np.uint8)
    glass[10:70, 10:70] = (20, 200, 40, 200)
    done = inpaint(bench, white((256, 256), np.s_[60:220, 60:220]), reference=glass)
    green = done.pixels[..., 1].astype(int) > done.pixels[..., 0].astype(int) + 40
    assert green.mean() > 0.05


@pytest.fixture(name="cut")
def cut_out() -> Pixels:
    """Give a black bag on a transparent backdrop of the same black, as shops have them: only its alpha shows it."""
    cut = np.zeros((200, 200, 4), np.uint8)
    cut[60:160, 40:160, 3] = 255
    return cut


def test_a_transparent_backdrop_is_the_outline_of_a_mask(bench: Bench, cut: Pixels) -> None:
    asked = {"image_url": bench.put("cut.png", cut), "object_name": "bag", "mask_dilation": 0, "mask_blur": 0}
    assert overlap(bench.do("mask", asked).pixels[..., 0] > 127, cut[..., 3] > 127) > 0.98


def test_a_transparent_backdrop_is_the_outline_in_training(bench: Bench, cut: Pixels) -> None:
    bench.put("cut.png", cut)
    images = bench.zip("cut.zip", bench.shelf / "cut.png")
    done = bench.do("train", {"images": images, "model_name": "Bag", "trigger_word": "TOK_BAG"})
    assert appearance.load(done.path, "model_id").show(0).shape[:2] == pytest.approx((100, 120), abs=2)


def test_photos_whose_backdrop_sticks_to_the_product_are_left_out(bench: Bench) -> None:
    views, photos = [bag(number) for number in range(8)], []
    for number, view in enumerate(views):
        rng, scale = chance(number), 340 / max(view.shape[:2])
        scene = scenery.paint(lexicon.read(SCENES[(number * 5 + 2) % len(SCENES)]), 0.6, (512, 512), rng)
        small = np.clip(pixels.resize(view, *(round(side * scale) for side in view.shape[1::-1])), 0, 1)
        bench.put(f"{number}.png", to_pixels(scenery.stand(scene, floats(small), (90, 120), 0.6, 0.1)))
        photos.append(bench.shelf / f"{number}.png")
    asked = {"images": bench.zip("all.zip", *photos), "model_name": "Bag", "trigger_word": "TOK_BAG"}
    done = bench.do("train", asked)
    assert done.work.facts["photos"] == 8
    assert 3 <= done.work.facts["kept"] < 8
    assert ("photos_left_out", "/images") in done.warned
    learnt = appearance.load(done.path, "model_id")
    for number in range(len(learnt.clay)):
        view = learnt.show(number)
        inside = view[view[..., 3] > 0.9]
        assert (inside[:, 2] > inside[:, 0]).mean() < 0.02, "no sky in it: nothing of the bag is blue"


def test_what_is_found_depends_on_the_picture_alone() -> None:
    photo = read_stranger("astronaut")
    found = []
    for seed in (0, 7):
        chance(seed)
        found.append(cutout.find(photo))
    alphas = [one.alpha for one in found if one]
    assert (alphas[0] == alphas[1]).all()


def test_a_model_of_another_engine_is_blamed_on_the_param_that_named_it(bench: Bench) -> None:
    model = {"model_string": bench.put("lora.safetensors", PHOTOS[0]), "trigger_word": "TOK_BAG", "name": "Bag"}
    with pytest.raises(InvalidInput, match="object_name: this model was not trained by the preview engine"):
        bench.do("mask", {"image_url": bench.put("s.png", draw_balls()), "object_name": "Bag"}, {"object_name": model})


@pytest.mark.parametrize(
    ("prompt", "axis", "sign"),
    [
        ("push in", 2, 1), ("slow dolly", 2, 1), ("zoom out", 2, -1), ("pull away", 2, -1), ("pan left", 0, -1),
        ("slides to the left", 0, -1), ("pan right", 0, 1), ("the camera rises", 1, -1), ("crane down", 1, 1),
        ("camera slowly circles around the product", 3, 1), ("orbit", 3, 1),
    ],
)  # fmt: skip
def test_the_camera_goes_where_it_is_told(prompt: str, axis: int, sign: int) -> None:
    (move,) = moves(prompt)
    assert np.argmax(np.abs(move)) == axis
    assert np.sign(move[axis]) == sign


def test_a_place_that_something_is_in_is_no_motion() -> None:
    assert moves("a bag in a cafe") == []


def test_a_film_of_nothing_that_stands_out_says_so(bench: Bench) -> None:
    plain = bench.put("plain.png", np.full((128, 128, 3), 190, np.uint8))
    asked = {"image_url": plain, "width": 128, "height": 128, "length": 5, "prompt": "pan left"}
    assert ("no_product", "/image_url") in bench.do("video", asked).warned


@pytest.mark.parametrize(
    ("prompt", "ground", "understood"),
    [
        ("a red leather bag on marble", "marble", ("red", "marble")),
        ("glass bottle on wood", "wood", ("wood",)),
        ("a steel watch on green moss", "grass", ("green", "moss")),
        ("a wooden table in a cafe", "wood", ("wooden", "table", "cafe")),
    ],
)
def test_the_ground_is_what_the_product_stands_on(prompt: str, ground: str, understood: tuple[str, ...]) -> None:
    reading = lexicon.read(prompt)
    assert (reading.surface["name"], reading.understood) == (ground, understood)


def stand(gloss: float, light: float = 1.0) -> tuple[Plane, Plane]:
    ground = np.full((200, 200, 3), 0.7, np.float32)
    product = floats(np.dstack([np.full((80, 40, 3), (0.9, 0.1, 0.1)), np.ones((80, 40))]))
    return ground, scenery.stand(ground, product, (80, 60), light, gloss)


def test_a_product_throws_a_shadow_away_from_the_light() -> None:
    for light, side in ((1.0, np.s_[132:142, 50:78]), (-1.0, np.s_[132:142, 122:150])):
        before, after = stand(0.0, light)
        assert before[side].mean() - after[side].mean() > 0.02
    before, after = stand(0.0)
    assert before[141:143, 85:115].mean() - after[141:143, 85:115].mean() > 0.1, "and stands on one"


def test_a_glossy_ground_mirrors_the_product() -> None:
    matt, glossy = (stand(gloss)[1][141:146, 85:115] for gloss in (0.0, 0.5))
    redness = [float((below[..., 0] - below[..., 2]).mean()) for below in (matt, glossy)]
    assert redness[1] > redness[0] + 0.1
