"""The contact sheet: each picture stands where it should, in its order, and none is missing."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from embedded import contact_sheet
from embedded.contact_page import LONGEST, MAX_BYTES, WIDTH, Box, broken, length
from embedded.contact_story import CELL_PX, CELLS, Made, Story

CUTOUTS, FILM_FRAMES = 6, 33


def picture(seed: int, width: int = 256, height: int = 256) -> Image.Image:
    """Make a picture like no other: large soft blots, from which a smaller one differs little."""
    blots = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def saved(folder: Path, name: str, image: Image.Image) -> Path:
    image.save(folder / name)
    return folder / name


def film(to: Path) -> Path:
    """Film one picture after the other."""
    with av.open(str(to), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 208, 128, "yuv420p"
        for number in range(FILM_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture(900 + number, 208, 128)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return to


def cutout(number: int) -> Image.Image:
    """Make a cut-out: a picture in a hole of nothing."""
    alpha = np.zeros((CELL_PX, CELL_PX), np.uint8)
    alpha[60:260, 40:280] = 255
    image = picture(200 + number, CELL_PX, CELL_PX)
    image.putalpha(Image.fromarray(alpha))
    return image


def cutouts() -> bytes:
    sheet = Image.new("RGBA", (CELLS * CELL_PX, 2 * CELL_PX))
    for number in range(CUTOUTS):
        sheet.paste(cutout(number), (number % CELLS * CELL_PX, number // CELLS * CELL_PX))
    return png(sheet)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    scenes = [
        Made(saved(folder, f"scene-{number}.png", picture(300 + number)), {"prompt": f"scene {number}", "seed": number})
        for number in range(4)
    ]
    disc = np.hypot(*(np.mgrid[:256, :256] - 128)) < 70
    mask = Image.fromarray(disc.astype(np.uint8) * 255).convert("RGB")
    filming = {"prompt": "around it", "seed": 7, "length": FILM_FRAMES, "width": 208, "height": 128}
    return Story(
        name="Tasche Müller",
        trigger_word="TOK_TASCHE",
        engine="preview",
        photos=[png(picture(100 + number, 300, 240)) for number in range(8)],
        reference=png(picture(400)),
        cutouts=(cutouts(), CUTOUTS),
        scenes=scenes,
        mask=Made(saved(folder, "mask.png", mask), {}),
        inpainted=Made(saved(folder, "inpainted.png", picture(500)), {"prompt": "on a table", "seed": 7}),
        film=Made(film(folder / "film.mp4"), filming),
    )


def expected(story: Story) -> dict[str, Image.Image]:
    """Say what each place shall show, from the sources alone."""
    disc = np.asarray(story.mask.picture())[..., :1] / 255 * contact_sheet.TINTED
    scene = np.asarray(story.scenes[0].picture())
    overlay = Image.fromarray((scene * (1 - disc) + np.array(contact_sheet.TINT) * disc).round().astype(np.uint8))
    on_white = [Image.new("RGBA", (CELL_PX, CELL_PX), "white") for _ in range(CUTOUTS)]
    for number, white in enumerate(on_white):
        white.alpha_composite(cutout(number))
    frames = [picture(900 + round(number * (FILM_FRAMES - 1) / 6), 208, 128) for number in range(7)]
    return {
        **{f"photo.{n + 1}": picture(100 + n, 300, 240) for n in range(len(story.photos))},
        **{f"cutout.{n + 1}": white.convert("RGB") for n, white in enumerate(on_white)},
        **{f"scene.{n + 1}": picture(300 + n) for n in range(4)},
        "scene": picture(300), "overlay": overlay, "mask": story.mask.picture(),
        "reference": picture(400), "inpainted": picture(500),
        **{f"frame.{n + 1}": frame for n, frame in enumerate(frames)},
    }  # fmt: skip


def differences(sheet: Path, places: Mapping[str, Box], wanted: Mapping[str, Image.Image]) -> dict[str, float]:
    """Measure how far each place is from what it shall show: mean difference of 255."""
    with Image.open(sheet) as page:
        pixels = np.asarray(page.convert("RGB")).astype(int)
    found = {}
    for name, box in places.items():
        shown = pixels[box.top : box.bottom, box.left : box.right]
        should = np.asarray(ImageOps.fit(wanted[name], (box.width, box.height), Image.Resampling.LANCZOS))
        found[name] = float(np.abs(shown - should).mean())
    return found


@pytest.fixture(scope="module")
def drawn(story: Story, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Box]]:
    sheet = tmp_path_factory.mktemp("drawn") / "sheet.png"
    return sheet, contact_sheet.draw(story, sheet)


def test_each_place_shows_its_picture(story: Story, drawn: tuple[Path, dict[str, Box]]) -> None:
    sheet, places = drawn
    wanted = expected(story)
    assert list(places) == list(wanted)
    far = differences(sheet, places, wanted)
    assert {name: far for name, far in far.items() if far > (6 if name.startswith("frame") else 1)} == {}


def test_a_picture_in_the_place_of_its_neighbour_would_be_seen(
    story: Story, drawn: tuple[Path, dict[str, Box]]
) -> None:
    wanted = expected(story)
    swapped = dict(zip(wanted, [*list(wanted.values())[1:], wanted["photo.1"]], strict=True))
    assert min(differences(*drawn, swapped).values()) > 8


def test_the_rows_follow_the_story_and_nothing_overlaps(drawn: tuple[Path, dict[str, Box]]) -> None:
    sheet, places = drawn
    tops = [places[name].top for name in ("photo.1", "cutout.1", "scene.1", "overlay", "frame.1")]
    assert tops == sorted(tops)
    taken = np.zeros((LONGEST, WIDTH), np.uint8)
    for box in places.values():
        taken[box.top : box.bottom, box.left : box.right] += 1
    assert taken.max() == 1
    assert sum(box.width * box.height for box in places.values()) == taken.sum()  # none reaches beyond the page
    with Image.open(sheet) as page:
        assert page.width == WIDTH
        assert max(box.bottom for box in places.values()) < page.height < LONGEST


def test_a_model_without_cutouts_leaves_their_row_out(
    story: Story, drawn: tuple[Path, dict[str, Box]], tmp_path: Path
) -> None:
    _, with_them = drawn
    places = contact_sheet.draw(replace(story, cutouts=None), tmp_path / "sheet.png")
    assert list(places) == [name for name in with_them if not name.startswith("cutout")]
    assert places["scene.1"].top == with_them["cutout.1"].top


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (8, 1), (9, 1), (20, 2)])
def test_any_number_of_photos_finds_its_place(story: Story, tmp_path: Path, count: int, rows: int) -> None:
    many = replace(story, photos=[png(picture(100 + number, 300, 240)) for number in range(count)])
    places = contact_sheet.draw(many, tmp_path / "sheet.png")
    assert len({places[f"photo.{number + 1}"].top for number in range(count)}) == rows
    assert max(differences(tmp_path / "sheet.png", places, expected(many)).values()) < 6


def test_prompt_and_seed_stand_below_each_scene(story: Story, tmp_path: Path) -> None:
    same = [replace(scene, params={"prompt": "scene", "seed": 1}) for scene in story.scenes]
    second = replace(same[1], params={"prompt": "scene", "seed": 2})
    places = contact_sheet.draw(replace(story, scenes=same), tmp_path / "one.png")
    contact_sheet.draw(replace(story, scenes=[same[0], second, *same[2:]]), tmp_path / "other.png")

    def below(sheet: str, number: int) -> np.ndarray:
        box = places[f"scene.{number}"]
        with Image.open(tmp_path / sheet) as page:
            return np.asarray(page.convert("L"))[box.bottom + 8 : box.bottom + 90, box.left : box.right]

    assert below("one.png", 1).min() < 90  # it is written there, in dark
    assert not np.array_equal(below("one.png", 2), below("other.png", 2))
    assert np.array_equal(below("one.png", 3), below("other.png", 3))


def test_the_busiest_pictures_make_no_file_that_is_too_large(story: Story, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)

    def noise(box: Box) -> Image.Image:
        """Make what no compression shrinks, in the size that it is shown in, as another would soften it."""
        return Image.fromarray(chance.integers(0, 256, (box.height, box.width, 3), dtype=np.uint8))

    cell, large = contact_sheet.grid(0, 4, 4)[0], contact_sheet.large_cell(0)
    scenes = [Made(saved(tmp_path, f"{number}.png", noise(cell)), story.scenes[0].params) for number in range(4)]
    inpainted = Made(saved(tmp_path, "inpainted.png", noise(large)), story.inpainted.params)
    photos = [png(noise(box)) for box in contact_sheet.small_cells(0, 20)]
    busiest = replace(story, scenes=scenes, inpainted=inpainted, photos=photos, reference=png(noise(cell)))
    contact_sheet.draw(busiest, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size < MAX_BYTES


def test_a_long_text_is_broken_at_spaces_and_cut_with_dots() -> None:
    lines = list(broken("the product on a table of white marble " * 9, 20, 300, 3))
    assert len(lines) == 3
    assert all(length(line, 20) <= 300 for line in lines)
    assert lines[0].startswith("the product on a table")
    assert lines[2].endswith("...")
    assert list(broken("short", 20, 300, 3)) == ["short"]
    assert next(broken("x" * 200, 20, 300, 1)).endswith("x...")
