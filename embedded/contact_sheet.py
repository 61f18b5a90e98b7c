"""The contact sheet: the whole story of one product on one page, from its photos to a film."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from embedded.contact_page import HAIRLINE, INK, MARGIN, PAPER, QUIET, WIDTH, Box, Page, plain
from embedded.contact_story import Story, opened

#: Where captions stand, and where pictures begin and end.
LEFT, PICTURES, RIGHT = MARGIN, 440, WIDTH - MARGIN

#: Between a row and the line above or below it, and between two pictures of one.
APART, GAP = 60, 20
HUGE, LARGE, SMALL = 84, 30, 21

#: How many stand side by side: scenes; photos, when they are few, and when they are many; frames of the film.
SCENES, FEW, MANY, FRAMES = 4, 8, 10, 7

#: Of the words below a picture, before the next; of a film's edges, and of a hole in them.
LABEL, EDGE, HOLE, HOLES = 70, 46, 22, 42

#: What a mask is shown in over its scene, as few products have this colour, and how much of it.
TINT, TINTED = (76, 96, 255), 0.62
FILM, WHITE = (28, 27, 25), (255, 255, 255)

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

Row = Callable[[Page, Story, int], int]


def draw(story: Story, to: Path) -> dict[str, Box]:
    """Draw the sheet as a PNG. Gives where each picture stands, by its name."""
    page = Page()
    top = draw_title(page, story)
    cutouts: tuple[Row, ...] = (draw_cutouts,) if story.cutouts else ()
    for row in (draw_photos, *cutouts, draw_scenes, draw_inpainted, draw_film):
        page.fill(Box(LEFT, top, RIGHT - LEFT, 2), HAIRLINE)
        top = row(page, story, top + APART) + APART
    page.save(to, draw_footer(page, story, top))
    return page.places


def draw_title(page: Page, story: Story) -> int:
    """Name the product, and the word that means it."""
    page.write(plain(story.name) or story.trigger_word, (LEFT - 5, MARGIN), HUGE, INK, width=RIGHT - LEFT)
    return page.write(f"{story.trigger_word}, from photos to a film", (LEFT, MARGIN + 118), LARGE, QUIET) + APART


def draw_photos(page: Page, story: Story, top: int) -> int:
    """Show what was given."""
    draw_caption(page, top, counted(len(story.photos), "photo"), "all that was given")
    cells = small_cells(top, len(story.photos))
    for number, (photo, cell) in enumerate(zip(story.photos, cells, strict=True), start=1):
        page.paste(f"photo.{number}", opened(photo), cell)
    return cells[-1].bottom


def draw_cutouts(page: Page, story: Story, top: int) -> int:
    """Show what the model has learned from."""
    cutouts = list(story.cut())
    draw_caption(page, top, counted(len(cutouts), "cut-out"), "what the model learned")
    cells = small_cells(top, len(cutouts))
    for number, (cutout, cell) in enumerate(zip(cutouts, cells, strict=True), start=1):
        page.fill(cell, WHITE)
        page.paste(f"cutout.{number}", cutout, cell)
    return cells[-1].bottom


def draw_scenes(page: Page, story: Story, top: int) -> int:
    """Show the generated pictures, each with its prompt and seed."""
    draw_caption(page, top, counted(len(story.scenes), "scene") + ", by prompt and seed", "the trained product in them")
    bottom = top
    for number, (scene, cell) in enumerate(zip(story.scenes, grid(top, len(story.scenes), SCENES), strict=True), 1):
        page.paste(f"scene.{number}", scene.picture(), cell)
        below = page.write(scene.params["prompt"], (cell.left, cell.bottom + 14), SMALL, INK, width=cell.width, lines=3)
        bottom = max(bottom, page.write(f"seed {scene.params['seed']}", (cell.left, below + 2), SMALL, QUIET))
    return bottom


def draw_inpainted(page: Page, story: Story, top: int) -> int:
    """Show the mask, over its scene and as it is, the reference, and large what came of them."""
    told = story.inpainted.params
    side = "another side" if len(story.photos) > 1 else "its photo"
    draw_caption(page, top, f"inpainted: the product from {side}", told["prompt"], f"seed {told['seed']}")
    scene, mask = story.scenes[0].picture(), story.mask.picture()
    small = [
        ("scene", "the scene", scene),
        ("overlay", "mask (overlay on its scene)", overlaid(scene, mask)),
        ("mask", "mask, as it is", mask),
        ("reference", "reference", opened(story.reference)),
    ]
    first, *_ = grid(top, SCENES, SCENES)
    for number, (name, caption, picture) in enumerate(small):
        row, column = divmod(number, 2)
        cell = first._replace(left=first.left + column * (first.width + GAP), top=top + row * (first.height + LABEL))
        page.paste(name, picture, cell)
        page.write(caption, (cell.left, cell.bottom + 12), SMALL, QUIET)
    large = large_cell(top)
    page.paste("inpainted", story.inpainted.picture(), large)
    return page.write("inpainted", (large.left, large.bottom + 12), SMALL, QUIET)


def draw_film(page: Page, story: Story, top: int) -> int:
    """Show frames of the film, as a strip from edge to edge."""
    told = story.film.params
    bottom = page.write(f"a film of {told['length']} frames", (LEFT, top - 6), LARGE, INK)
    page.write(f"{told['prompt']}, seed {told['seed']}", (PICTURES, top + 2), SMALL, QUIET, width=RIGHT - PICTURES)
    step = (WIDTH - GAP) / FRAMES
    width = int(step) - GAP
    height = round(width * told["height"] / told["width"])
    strip = Box(0, bottom + 28, WIDTH, height + 2 * EDGE)
    page.fill(strip, FILM)
    for hole in range(HOLES):
        left = round((hole + 0.5) * WIDTH / HOLES) - HOLE // 2
        for middle in (strip.top + EDGE // 2, strip.bottom - EDGE // 2):
            page.fill(Box(left, middle - HOLE // 3, HOLE, 2 * HOLE // 3), PAPER, radius=4)
    for number, frame in enumerate(story.film.frames(FRAMES)):
        box = Box(GAP + round(number * step), strip.top + EDGE, width, height)
        page.paste(f"frame.{number + 1}", frame, box)
    return strip.bottom


def draw_footer(page: Page, story: Story, top: int) -> int:
    """Say what made it. Gives the length of the page."""
    made = "the CPU preview engine, no GPU" if story.engine == "preview" else f"the engine {story.engine}"
    return page.write(f"Made by Packshot with {made}.", (LEFT, top), SMALL, QUIET) + MARGIN - APART


def draw_caption(page: Page, top: int, title: str, *notes: str) -> None:
    """Say left of a row what it shows."""
    width = PICTURES - LEFT - 2 * GAP
    top = page.write(title, (LEFT, top - 6), LARGE, INK, width=width, lines=3) + 6
    for note in notes:
        top = page.write(note, (LEFT, top), SMALL, QUIET, width=width, lines=5) + 4


def small_cells(top: int, count: int) -> list[Box]:
    """Lay out what is shown small: photos and cut-outs."""
    return grid(top, count, FEW if count <= FEW else MANY)


def grid(top: int, count: int, columns: int) -> list[Box]:
    """Lay out squares in rows."""
    step = (RIGHT - PICTURES + GAP) / columns
    side = int(step) - GAP
    places = [divmod(number, columns) for number in range(count)]
    return [Box(PICTURES + round(column * step), top + row * (side + GAP), side, side) for row, column in places]


def large_cell(top: int) -> Box:
    """Lay out what is shown large: as wide as two scenes, as high as two and the words between them."""
    _, _, left, _ = grid(top, SCENES, SCENES)
    return left._replace(width=RIGHT - left.left, height=2 * left.height + LABEL)


def overlaid(scene: Image.Image, mask: Image.Image) -> Image.Image:
    """Colour the masked part of a scene."""
    strength = mask.getchannel("R").resize(scene.size).point(lambda value: round(value * TINTED))
    return Image.composite(Image.new("RGB", scene.size, TINT), scene, strength)


def counted(count: int, thing: str) -> str:
    """Say how many."""
    return f"{NUMBERS[count] if count < len(NUMBERS) else count} {thing}{'s' * (count != 1)}"
