"""The words that the preview engine understands, and what it takes them to mean."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (190, 40, 35), "orange": (230, 130, 45), "yellow": (240, 205, 70), "gold": (205, 165, 80),
    "green": (70, 130, 70), "olive": (120, 120, 60), "teal": (40, 130, 130), "turquoise": (70, 190, 185),
    "blue": (60, 105, 185), "navy": (30, 45, 95), "purple": (110, 65, 150), "violet": (140, 95, 190),
    "pink": (240, 180, 195), "magenta": (200, 50, 140), "brown": (115, 75, 50), "beige": (225, 208, 180),
    "cream": (245, 236, 215), "white": (246, 246, 244), "grey": (150, 150, 152), "gray": (150, 150, 152),
    "silver": (190, 194, 200), "black": (28, 28, 32),
}  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """What the product stands on: its colour, its texture, and how much it reflects (0 to 1)."""

    colour: Rgb
    texture: str = "plain"
    gloss: float = 0.0


WOOD, STONE = Surface((135, 92, 58), "grain", 0.12), Surface((140, 138, 132), "speckle")
SURFACES: dict[str, Surface] = {
    "wood": WOOD, "wooden": WOOD, "table": WOOD, "desk": WOOD, "stone": STONE, "concrete": STONE, "rock": STONE,
    "marble": Surface((226, 224, 222), "veins", 0.3), "sand": Surface((214, 188, 145), "speckle"),
    "grass": Surface((88, 128, 55), "speckle"), "snow": Surface((236, 240, 247), "speckle"),
    "water": Surface((50, 105, 135), "ripples", 0.4), "glass": Surface((175, 200, 205), "plain", 0.5),
    "metal": Surface((150, 154, 160), "grain", 0.4), "velvet": Surface((95, 25, 55), "speckle"),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """What stands behind: the colour above, the colour at the horizon, the usual ground; hills and lights or not."""

    above: Rgb
    horizon: Rgb
    ground: str = ""
    hills: bool = False
    lights: bool = False


SEA, ROOM = Place((60, 135, 205), (205, 228, 238), "sand"), Place((150, 125, 105), (120, 92, 72), "wood", lights=True)
WILD = Place((150, 190, 200), (200, 215, 190), "grass", hills=True)
TOWN = Place((70, 75, 95), (150, 135, 125), "concrete", lights=True)
PLACES: dict[str, Place] = {
    "studio": Place((236, 236, 238), (214, 214, 217)), "beach": SEA, "sea": SEA, "ocean": SEA, "sky": SEA,
    "lake": Place((90, 150, 205), (190, 215, 225), "water", hills=True), "garden": WILD, "park": WILD, "meadow": WILD,
    "forest": Place((52, 92, 55), (120, 152, 95), "grass", hills=True), "city": TOWN, "street": TOWN, "party": TOWN,
    "mountain": Place((85, 140, 205), (215, 225, 235), "stone", hills=True), "cafe": ROOM, "bar": ROOM,
    "desert": Place((95, 150, 205), (240, 215, 170), "sand", hills=True), "kitchen": ROOM, "room": ROOM,
    "luxury": Place((48, 44, 46), (112, 100, 90), "marble", lights=True),
}  # fmt: skip

#: What light does to red, green and blue.
LIGHTS: dict[str, tuple[float, float, float]] = {
    "sunset": (1.12, 0.82, 0.66), "golden": (1.14, 0.98, 0.74), "warm": (1.1, 0.99, 0.86), "cold": (0.88, 0.98, 1.12),
    "night": (0.38, 0.44, 0.66), "dark": (0.55, 0.55, 0.57), "moody": (0.66, 0.62, 0.64), "neon": (0.85, 0.55, 1.1),
    "bright": (1.14, 1.14, 1.13), "sunny": (1.12, 1.08, 1.0), "cloudy": (0.88, 0.91, 0.95), "dusk": (0.72, 0.62, 0.76),
}  # fmt: skip

SIDES: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}


@dataclass(frozen=True)
class Reading:
    """What a prompt was taken to mean."""

    understood: tuple[str, ...]
    place: Place | None
    surface: Surface | None
    backdrop: Rgb | None
    light: tuple[float, float, float]


def read(prompt: str, negative: str = "") -> Reading:
    """Read a prompt; the first surface and place count, and no word that the negative prompt names."""
    unwanted = set(words(negative))
    said = [word for word in words(prompt) if word not in unwanted]
    surface = next((SURFACES[word] for word in said if word in SURFACES), None)
    dyed = [word for word in said if word in COLOURS]
    for colour, thing in pairwise(said):
        if surface and thing in SURFACES and dyed and colour == dyed[0]:  # "white marble"
            surface, dyed = replace(surface, colour=COLOURS[colour]), dyed[1:]
    known = tuple(dict.fromkeys(pick(said, COLOURS, SURFACES, PLACES, LIGHTS)))
    red, green, blue = (prod(LIGHTS[word][channel] for word in known if word in LIGHTS) for channel in range(3))
    return Reading(
        understood=known,
        place=next((PLACES[word] for word in said if word in PLACES), None),
        surface=surface,
        backdrop=COLOURS[dyed[0]] if dyed else None,
        light=(red, green, blue),
    )


def words(text: str) -> list[str]:
    """Split into small words, the plural s taken off where we know the singular."""
    known = {*COLOURS, *SURFACES, *PLACES, *LIGHTS}
    said = re.findall(r"\w+", text.lower())
    return [single if (single := word.removesuffix("s")) in known else word for word in said]


def pick(said: list[str], *tables: Collection[str]) -> Iterator[str]:
    """Pick the words that stand in one of these tables."""
    return (word for word in said if any(word in table for table in tables))
