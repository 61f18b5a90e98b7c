"""What the preview engine takes the words of a prompt to mean; `lexicon.toml` holds the words."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

Rgb = tuple[int, int, int]

#: One thing of a table, such as a surface: its settings.
Thing = dict[str, Any]

#: Words that hold a sentence together and are not asked for anything.
SMALL = frozenset(
    ("a", "an", "the", "of", "on", "in", "at", "and", "with", "to", "for", "by", "from", "its", "it", "is", "photo",
     "picture", "image", "product", "shot", "style")
)  # fmt: skip


@cache
def table(name: str) -> dict[str, Any]:
    """Give a table of the lexicon, word by word."""
    with (Path(__file__).parent / "lexicon.toml").open("rb") as file:
        things: dict[str, Any] = tomllib.load(file)[name]
    if name in {"colours", "sides"}:
        return things
    return {word: {"name": key, **thing} for key, thing in things.items() for word in thing["words"]}


@dataclass(frozen=True)
class Reading:
    """What a prompt was taken to mean."""

    understood: tuple[str, ...]
    ignored: tuple[str, ...]
    place: Thing
    #: What the product stands on; {} is the backdrop, going on.
    surface: Thing
    backdrop: Rgb | None
    #: Time, weather and mood.
    airs: list[Thing] = field(default_factory=list)

    @property
    def tint(self) -> tuple[float, ...]:
        """What the light does to red, green and blue; several words share it, or neon at night were a black hole."""
        share = max(len(self.airs), 1) ** -0.5
        return tuple(prod(air["tint"][channel] for air in self.airs) ** share for channel in range(3))

    def much(self, name: str, usual: float = 0.0) -> float:
        """Say how much there is of something in the air; the strongest word counts."""
        return max(
            (float(air[name]) for air in self.airs if name in air), key=lambda it: abs(it - usual), default=usual
        )


def read(prompt: str, negative: str = "", trigger: str = "") -> Reading:
    """Read a prompt; of several surfaces or places one counts, and no word that the negative prompt names."""
    unwanted = {*words(negative), trigger.lower()}
    heard = [word for word in words(prompt) if word not in unwanted]
    said = [word for word in heard if word not in SMALL]
    surfaces, places, colours = table("surfaces"), table("places"), table("colours")
    place = next((places[word] for word in said if word in places), places["studio"])
    at = find_ground(heard)
    surface = surfaces[heard[at]] if at is not None else surfaces.get(place["ground"], {})
    dyes = [word for word in said if word in colours]
    if at and heard[at - 1] in dyes[:1]:  # "white marble"
        surface, dyes = {**surface, "colour": colours[dyes[0]]}, dyes[1:]
    known = [word for word in pick(said, "colours", "surfaces", "places", "airs")
             if word not in surfaces or surfaces[word]["name"] == surface["name"]]  # fmt: skip
    airs = {id(table("airs")[word]): table("airs")[word] for word in known if word in table("airs")}
    ignored = dict.fromkeys(word for word in said if word not in known)
    backdrop = colours[dyes[0]] if dyes else None
    return Reading(tuple(dict.fromkeys(known)), tuple(ignored), place, surface, backdrop, list(airs.values()))


def find_ground(heard: list[str]) -> int | None:
    """Say which word is what the product stands on: a surface behind "on", or else the first one that is named."""
    named = [number for number, word in enumerate(heard) if word in table("surfaces")]
    behind = [number for number in named if {"on", "onto", "upon", "over"} & set(heard[max(0, number - 4) : number])]
    return next(iter(behind + named), None)


def words(text: str) -> list[str]:
    """Split into small words, the plural s taken off where we know the singular."""
    known = {word for name in ("colours", "surfaces", "places", "airs", "sides") for word in table(name)}
    said = re.findall(r"\w+", text.lower())
    return [single if word not in known and (single := word.removesuffix("s")) in known else word for word in said]


def pick(said: list[str], *tables: str) -> Iterator[str]:
    """Pick the words that stand in one of these tables."""
    return (word for word in said if any(word in table(name) for name in tables))
