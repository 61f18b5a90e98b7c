"""What the preview engine makes, and what it refuses."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from gpu_handlers import appearance, cutout, lexicon, pixels
from tests.handlers.workbench import PHOTOS, Bench, difference, draw_balls
from tools.errors import BadArchive, InvalidInput, MaskUnusable, NotAnImage, ObjectNotFound, PathNotAllowed
from tools.mask import SCENE_CHUNK

BALLS = {"red": (0.27, 0.13), "blue": (0.7, 0.17)}


def test_a_model_holds_the_product_and_its_colours(bench: Bench) -> None:
    asked = {"images": bench.zip("two.zip", *PHOTOS[:2]), "model_name": "Bag", "trigger_word": "TOK_BAG"}
    done = bench.do("train", asked)
    learnt = appearance.load(done.path, "model_id")
    view = learnt.show(0)
    assert max(view.shape[:2]) <= 640
    red, green, blue = view[view[..., 3] > 0.9][:, :3].mean(0)
    assert red > 1.5 * max(green, blue)
    assert learnt.up.shape[2] == learnt.down.shape[1] == 16, "the rank that was asked for"
    assert (done.work.facts["photos"], done.work.facts["kept"]) == (2, 2)


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.stem)
def test_every_photo_of_the_bag_is_cut_out_whole(photo: Path) -> None:
    pixels.chance(0)
    image = np.asarray(pixels.fit(pixels.read(photo), 256))
    found = cutout.find(image)
    assert found is not None
    reddish = image[..., 0] > 1.7 * image[..., 2]  # true of the bag alone, on its grey backdrop
    agreed = (reddish & (found.alpha > 0.5)).sum() / (reddish | (found.alpha > 0.5)).sum()
    assert agreed > 0.93


def test_photos_without_a_product_are_refused(bench: Bench) -> None:
    bench.put("plain.png", np.full((64, 64, 3), 200, np.uint8))
    images = bench.zip("plain.zip", bench.shelf / "plain.png")
    with pytest.raises(ObjectNotFound, match="send photos where it stands out"):
        bench.do("train", {"images": images, "model_name": "Bag", "trigger_word": "TOK_BAG"})


def test_what_is_no_zip_is_refused(bench: Bench) -> None:
    with pytest.raises(BadArchive):
        bench.do("train", {"images": bench.put("a.zip", PHOTOS[0]), "model_name": "Bag", "trigger_word": "TOK_BAG"})


def test_a_zip_without_photos_is_refused(bench: Bench) -> None:
    with pytest.raises(BadArchive, match="holds no picture"):
        bench.do("train", {"images": bench.zip("empty.zip"), "model_name": "Bag", "trigger_word": "TOK_BAG"})


def test_a_picture_shows_the_model_it_was_asked_for(
    bench: Bench, red: Mapping[str, Any], blue: Mapping[str, Any]
) -> None:
    asked = {"model_id": 1, "prompt": "TOK_BAG in a studio", "seed": 1, "width": 256, "height": 256}
    one, other = (bench.do("generate", asked, model).pixels.astype(int) for model in (red, blue))
    assert (one[..., 0] > one[..., 2] + 60).mean() > 0.1
    assert (other[..., 2] > other[..., 0] + 60).mean() > 0.1


@pytest.mark.parametrize(("width", "height"), [(256, 256), (1024, 256), (272, 800), (1536, 1024)])
def test_a_picture_has_the_size_that_was_asked_for(
    bench: Bench, red: Mapping[str, Any], width: int, height: int
) -> None:
    asked = {"model_id": 1, "prompt": "TOK_BAG", "seed": 1, "width": width, "height": height}
    assert bench.do("generate", asked, red).pixels.shape == (height, width, 3)


def test_a_prompt_without_the_trigger_word_is_remarked(bench: Bench, red: Mapping[str, Any]) -> None:
    asked = {"model_id": 1, "prompt": "a bag on white marble", "seed": 1, "width": 256, "height": 256}
    done = bench.do("generate", asked, red)
    assert ("trigger_word_missing", "/prompt") in done.warned
    assert done.work.facts["understood"] == ["white", "marble"]


def test_a_model_of_another_engine_is_refused(bench: Bench) -> None:
    model = {"model_id": {"model_string": bench.put("lora.safetensors", PHOTOS[0]), "trigger_word": "TOK_BAG"}}
    with pytest.raises(InvalidInput, match="was not trained by the preview engine"):
        bench.do("generate", {"model_id": 1, "prompt": "TOK_BAG", "seed": 1}, model)


def test_a_colour_dyes_the_surface_that_it_stands_before() -> None:
    black = lexicon.table("colours")["black"]
    assert lexicon.read("black marble on a beach").surface["colour"] == black
    assert lexicon.read("marble, black backdrop").backdrop == black


@pytest.mark.parametrize(
    ("name", "ball"), [("red ball", "red"), ("blue ball", "blue"), ("left", "red"), ("the right one", "blue")]
)
def test_a_colour_or_a_side_chooses_the_object(bench: Bench, table: str, name: str, ball: str) -> None:
    asked = {"image_url": table, "object_name": name, "mask_dilation": 0, "mask_blur": 0}
    mask = bench.do("mask", asked).pixels[..., 0] > 127
    centre, radius = BALLS[ball]
    y, x = np.mgrid[0:1:256j, 0:1:256j]
    truth = np.hypot(x - centre, y - 0.55) < radius
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_a_mask_is_grey_and_names_its_scene(bench: Bench, table: str) -> None:
    done = bench.do("mask", {"image_url": table, "object_name": "ball"})
    with Image.open(done.path) as image:
        assert image.mode == "RGB"
        assert image.text[SCENE_CHUNK] == table  # type: ignore[attr-defined]  # PNG files have it
    assert (done.pixels == done.pixels[..., :1]).all()
    assert done.work.facts["scene_r2_path"] == table
    assert ("noun_not_read", "/object_name") in done.warned


def test_a_mask_grows_by_exactly_the_pixels_that_were_asked_for(bench: Bench, table: str) -> None:
    asked = {"image_url": table, "object_name": "blue", "mask_blur": 0}
    rows = [(bench.do("mask", {**asked, "mask_dilation": by}).pixels[..., 0] > 127).any(1).sum() for by in (0, 10, 30)]
    assert abs(rows[1] - rows[0] - 20) <= 1
    assert abs(rows[2] - rows[0] - 60) <= 1


def test_the_edge_of_a_mask_fades_over_the_pixels_that_were_asked_for(bench: Bench, table: str) -> None:
    done = bench.do("mask", {"image_url": table, "object_name": "blue", "mask_dilation": 20, "mask_blur": 20})
    across = done.pixels[round(0.55 * 255), : round(0.7 * 255), 0]
    assert 16 <= ((across > 0) & (across < 255)).sum() <= 21


def test_where_nothing_stands_out_no_object_is_found(bench: Bench) -> None:
    plain = bench.put("plain.png", np.full((128, 128, 3), 190, np.uint8))
    with pytest.raises(ObjectNotFound, match="No shoe was found: send a picture where it stands out"):
        bench.do("mask", {"image_url": plain, "object_name": "shoe"})


def test_a_mask_of_the_whole_picture_is_refused(bench: Bench, table: str) -> None:
    with pytest.raises(InvalidInput, match="covers the whole picture: give less"):
        bench.do("mask", {"image_url": table, "object_name": "blue", "mask_dilation": 512})


def test_what_is_no_picture_is_refused(bench: Bench, trained: tuple[Path, Path]) -> None:
    with pytest.raises(NotAnImage):
        bench.do("mask", {"image_url": bench.put("a.png", trained[0]), "object_name": "shoe"})


@pytest.mark.parametrize("apart", [False, True], ids=["in one file", "as two files"])
def test_outside_the_mask_every_pixel_stays(bench: Bench, table: str, *, apart: bool) -> None:
    mask = bench.do("mask", {"image_url": table, "object_name": "blue", "mask_dilation": 12, "mask_blur": 12})
    address = bench.put("mask.png", mask.path)
    sent = {"scene_url": table, "mask_url": address} if apart else {"scene_url": address}
    done = bench.do("inpaint", {**sent, "reference_url": bench.put("bag.png", PHOTOS[4]), "seed": 3})
    outside = mask.pixels[..., 0] == 0
    assert 0.5 < outside.mean() < 0.95
    assert (done.pixels[outside] == draw_balls()[outside]).all()
    assert difference(done.pixels[~outside], draw_balls()[~outside]) > 20


def test_a_large_scene_with_a_hard_mask_stays_outside_it_too(bench: Bench) -> None:
    scene, mask = draw_balls(1100), np.zeros((1100, 1100, 3), np.uint8)
    mask[301:907, 303:851] = 255
    asked = {"scene_url": bench.put("scene.png", scene), "mask_url": bench.put("mask.png", mask), "seed": 1}
    done = bench.do("inpaint", {**asked, "reference_url": bench.put("bag.png", PHOTOS[4])})
    outside = mask[..., 0] == 0
    assert (done.pixels[outside] == scene[outside]).all()


def test_the_product_stands_in_the_mask(bench: Bench, table: str) -> None:
    mask = bench.put("mask.png", bench.do("mask", {"image_url": table, "object_name": "blue"}).path)
    done = bench.do("inpaint", {"scene_url": mask, "reference_url": bench.put("bag.png", PHOTOS[4]), "seed": 1})
    right = done.pixels[:, 128:].astype(int)
    assert (right[..., 0] > right[..., 2] + 60).mean() > 0.05, "the red bag is there"
    assert (right[..., 2] > right[..., 0] + 60).mean() < 0.01, "the blue ball is gone"


def test_a_transparent_backdrop_needs_no_search(bench: Bench, table: str) -> None:
    mask = bench.put("mask.png", bench.do("mask", {"image_url": table, "object_name": "blue"}).path)
    cut = np.zeros((64, 64, 4), np.uint8)
    cut[8:56, 8:56] = (20, 220, 40, 255)  # a plain green square: nothing that a search for salience would need
    done = bench.do("inpaint", {"scene_url": mask, "reference_url": bench.put("cut.png", cut), "seed": 1})
    assert (done.pixels[..., 1] > done.pixels[..., 0].astype(int) + 60).mean() > 0.05


def test_a_red_channel_alone_is_taken_and_remarked(bench: Bench) -> None:
    sent = draw_balls()
    sent[..., 0] = 0
    sent[80:180, 140:220, 0] = 255
    asked = {"scene_url": bench.put("sent.png", sent), "reference_url": bench.put("bag.png", PHOTOS[4]), "seed": 1}
    done = bench.do("inpaint", asked)
    outside = sent[..., 0] == 0
    assert ("red_approximated", "/scene_url") in done.warned
    assert (done.pixels[outside][:, 1:] == sent[outside][:, 1:]).all()


@pytest.mark.parametrize(
    ("level", "sentence"),
    [(0, "the mask is empty"), (255, "covers 100% and leaves no scene"), (None, "a mask without its scene")],
)
def test_a_mask_that_cannot_be_used_is_refused(bench: Bench, table: str, level: int | None, sentence: str) -> None:
    reference = bench.put("bag.png", PHOTOS[4])
    mask = np.full((256, 256, 3), level or 0, np.uint8)
    sent = {"scene_url": table, "mask_url": bench.put("mask.png", mask)}
    if level is None:
        mask[100:200, 100:200] = 255
        sent = {"scene_url": bench.put("mask.png", mask)}
    with pytest.raises(MaskUnusable, match=f"{sentence}.*: send the file that mask returns"):
        bench.do("inpaint", {**sent, "reference_url": reference})


def test_a_mask_of_another_size_is_refused(bench: Bench, table: str) -> None:
    small = bench.put("small.png", draw_balls(128))
    with pytest.raises(MaskUnusable, match="the mask is 128×128 pixels and its scene 256×256"):
        bench.do("inpaint", {"scene_url": table, "mask_url": small, "reference_url": table})


@pytest.mark.parametrize("scene", ["r2://packshot/models/1.safetensors", "r2://elsewhere/uploads/a.png", "/etc/passwd"])
def test_a_mask_may_not_name_a_scene_that_is_not_ours_to_show(bench: Bench, scene: str) -> None:
    pixels.write(bench.shelf / "forged.png", draw_balls(), {SCENE_CHUNK: scene})
    with pytest.raises(PathNotAllowed):
        bench.do(
            "inpaint", {"scene_url": "r2://packshot/uploads/forged.png", "reference_url": "r2://packshot/uploads/x"}
        )


def test_a_reference_without_a_product_is_refused(bench: Bench, table: str) -> None:
    mask = bench.put("mask.png", bench.do("mask", {"image_url": table, "object_name": "blue"}).path)
    plain = bench.put("plain.png", np.full((64, 64, 3), 200, np.uint8))
    with pytest.raises(ObjectNotFound, match="reference_url: send one on a plain backdrop"):
        bench.do("inpaint", {"scene_url": mask, "reference_url": plain})


def test_a_video_plays_in_a_browser_and_seeks(bench: Bench, table: str) -> None:
    asked = {"image_url": table, "seed": 1, "width": 256, "height": 144, "length": 33}
    path = bench.do("video", asked).path
    assert path.read_bytes().find(b"moov") < path.read_bytes().find(b"mdat"), "faststart"
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 16
        times = [frame.time for frame in film.decode(stream)]
        assert times == [Fraction(number, 16) for number in range(33)]
        film.seek(int(1.5 / stream.time_base), stream=stream)  # type: ignore[operator]  # a stream in a file has one
        sought = next(film.decode(video=0))
    assert sought.time is not None
    assert 0.5 < sought.time <= 1.5


def test_a_video_moves_and_keeps_its_colours(bench: Bench, table: str) -> None:
    asked = {"image_url": table, "seed": 1, "width": 256, "height": 256, "length": 9, "prompt": "zoom in"}
    with av.open(str(bench.do("video", asked).path)) as film:
        shown = [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in film.decode(video=0)]
    assert difference(shown[0], shown[-1]) > 5
    middle = shown[4].astype(int)
    assert (middle[..., 0] > middle[..., 2] + 60).any()
    assert (middle[..., 2] > middle[..., 0] + 60).any()
