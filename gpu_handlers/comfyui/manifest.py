"""Which model files a tool needs: data beside its graph, read here."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from settings import settings
from tools.errors import ToolError

#: The folder that holds one folder per tool.
ROOM = Path(__file__).parent.parent


class Entry(BaseModel):
    """A value of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Licence(Entry):
    """Under which terms files may be used."""

    name: str
    commercial: bool


class ModelFile(Entry):
    """A file that ComfyUI must find in `models/<folder>`."""

    #: What the handler calls it when it fills the graph.
    role: str
    name: str
    folder: str
    #: What the loader is told, where that is not the file's own name.
    told: str | None = None
    gigabytes: float
    #: The repository on Hugging Face that it is from, and its path there: its name if left out, all of it if empty.
    source: str
    path: str | None = None
    #: Of a whole repository, the files that are wanted; all if left out.
    only: tuple[str, ...] = ()
    licence: str


class Card(Entry):
    """The GPU that a profile wants, and where that figure is from."""

    gigabytes: int
    basis: str


class Profile(Entry):
    """One choice of models for a tool."""

    name: str
    graph: str = "graph.json"
    #: The base model whose LoRAs fit it, by the name of its profile in training; empty if it takes none.
    base: str = ""
    gpu: Card
    files: tuple[ModelFile, ...]

    @property
    def names(self) -> dict[str, str]:
        """What the loaders are told, by role."""
        return {file.role: file.told or file.name for file in self.files}


class Manifest(Entry):
    """All that a tool's `models.json` says. The first profile is the default."""

    profiles: tuple[Profile, ...]
    licences: dict[str, Licence]
    #: Custom nodes that ComfyUI needs beside its own.
    nodes: tuple[str, ...] = ()
    #: The tool whose profile chooses the one here, by its base: what is trained fits what it is used with.
    follows: str = ""

    def find(self, name: str) -> Profile:
        """Find a profile; an empty name is the default. Raises ToolError, which names those that exist."""
        wanted = name or self.profiles[0].name
        for profile in self.profiles:
            if profile.name == wanted:
                return profile
        known = ", ".join(profile.name for profile in self.profiles)
        raise ToolError(f"There is no profile {wanted} here: choose one of {known}.")


def known_tools() -> list[str]:
    """Name the tools that need model files."""
    return sorted(path.parent.name for path in ROOM.glob("*/models.json"))


@cache
def manifest(tool: str) -> Manifest:
    """Read the manifest of a tool. Raises ToolError, which names the tools that have one."""
    if tool not in known_tools():
        raise ToolError(f"There are no model files for {tool}: choose among {', '.join(known_tools())}.")
    return Manifest.model_validate_json((ROOM / tool / "models.json").read_bytes())


def profile(tool: str) -> Profile:
    """Give the profile of a tool that the settings choose."""
    needs = manifest(tool)
    if needs.follows:
        return needs.find(profile(needs.follows).base)
    return needs.find(getattr(settings(), f"{tool}_profile", ""))
