"""What the docs site says of a tool: its params, its result, its errors, and its preview, all read from the code."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from api import streams  # noqa: F401 - an error is known once its module is
from api.operations import schema_of
from api.problems import status_of
from gpu_handlers import lexicon
from tools import errors
from tools.contract import Tool
from tools.dataset import TooFewPhotos
from tools.errors import ToolError

ROOT = Path(__file__).parent.parent

Schema = dict[str, Any]

#: What every tool can refuse at the door, and what a job can end with that runs elsewhere.
AT_THE_DOOR = (errors.InvalidInput, errors.UnknownField, errors.MissingInput, errors.AmbiguousInput)
ON_THE_WAY = (
    errors.Cancelled, errors.UpstreamFailed, errors.Expired, errors.Poisoned, errors.NoOutput, errors.HandlerFailed,
    errors.Unavailable, errors.StorageFailed,
)  # fmt: skip

#: What a field that carries something can be refused for, by its door or by its kind.
FILES = (
    errors.PathNotAllowed, errors.FileNotFound, errors.UrlBlocked, errors.InputUnreachable, errors.TooLarge,
)  # fmt: skip
BY_DOOR = {"image": (*FILES, errors.NotAnImage), "archive": (*FILES, errors.BadArchive, TooFewPhotos)}
BY_KIND = {
    "lora": (errors.ModelNotFound, errors.ModelNotReady, errors.ModelFailed),
    "template": (errors.TemplateNotFound,),
}


def write_params(tool: Tool) -> str:
    """Write the table of a tool's params, those that must be given first."""
    schema = schema_of(tool.params)
    required = schema.get("required", [])
    fields = sorted(schema["properties"].items(), key=lambda field: field[0] not in required)
    rows = ((f"`{name}`", say_type(field), say_default(name, field, required), say(field)) for name, field in fields)
    return table(("param", "type", "default", "what it says"), rows)


def write_words(name: str) -> str:
    """Write the words of one table of the lexicon, those that mean the same thing together."""
    things = lexicon.table(name)
    alike: dict[str, list[str]] = {}
    for word, thing in things.items():
        alike.setdefault(thing["name"] if isinstance(thing, dict) else name, []).append(word)
    return " · ".join(", ".join(words) for words in alike.values())


def write_result(tool: Tool) -> str:
    """Write the table of a tool's result, in the order of the answer."""
    fields = schema_of(tool.result, answered=True)["properties"].items()
    return table(("field", "type", "carries"), ((f"`{name}`", *say_field(field)) for name, field in fields))


def say_field(field: Schema) -> tuple[str, str]:
    """Say what a field of a result holds, and what it carries to the next tool."""
    inner = ", ".join(f"`{name}`" for name in field.get("properties", {}))
    return (f"object of {inner}" if inner else say_type(field)), field.get("x-kind", "").replace("_", " ")


def write_errors(tool: Tool) -> str:
    """Write the table of the errors with which a call of the tool can end."""
    doors = [error for kind in tool.takes.values() for error in BY_DOOR.get(kind.door or "", ())]
    known = [error for kind in tool.takes.values() for error in BY_KIND.get(kind.name, ())]
    away = () if tool.local else (*raised(tool), *ON_THE_WAY)
    return list_errors([*AT_THE_DOOR, *doors, *known, *away])


def write_problems() -> str:
    """Write the table of all errors."""
    return list_errors(errors.every())


def list_errors(found: Iterable[type[ToolError]]) -> str:
    """Write a table of errors, each once."""
    rows = (
        (f"`{error.code}`", str(status_of(error)), "yes" if error.retryable else "", error.__doc__ or "")
        for error in {error.code: error for error in found}.values()
    )
    return table(("code", "HTTP", "retry helps", "what it says, and mostly more exactly"), rows)


def raised(tool: Tool) -> list[type[ToolError]]:
    """Find the errors that a tool's handlers know, by what they and the modules that they share import."""
    files = sources(ROOT / "gpu_handlers" / tool.name)
    names = {name for path in files for room in ("errors", tool.name) for name in imported(path, f"tools.{room}")}
    return [error for error in errors.every() if error.__name__ in names - {"ToolError", "InvalidInput"}]


def sources(folder: Path) -> set[Path]:
    """Find the files of a handler, and those of the room that they import."""
    found, open_ = set[Path](), set(folder.rglob("*.py"))
    while open_:
        path = open_.pop()
        found.add(path)
        names = {*imported(path, "gpu_handlers"), *submodules(path)}
        open_ |= {file for name in names if (file := ROOT / "gpu_handlers" / f"{name}.py").exists()} - found
    return found


def imported(path: Path, module: str) -> set[str]:
    """List what a file imports from a module."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return {alias.name for node in nodes if node.module == module for alias in node.names}


def submodules(path: Path) -> set[str]:
    """List the modules of gpu_handlers from which a file imports."""
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return {(node.module or "").removeprefix("gpu_handlers.") for node in nodes}


def write_preview(tool: Tool) -> str:
    """Quote the sentence with which the preview of a tool says what it does."""
    path = ROOT / "gpu_handlers" / tool.name / "preview.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    said = text.splitlines()[0].rpartition(": ")[2]
    return f"In one sentence: *{said[:1].lower()}{said[1:]}*"


def say(field: Schema) -> str:
    """Say what a field is for, and which kind of result fills it."""
    kind = field.get("x-kind") or next((arm["x-kind"] for arm in field.get("anyOf", ()) if "x-kind" in arm), "")
    return str(field.get("description", "")) + (f" *Kind: {kind.replace('_', ' ')}.*" if kind else "")


def say_default(name: str, field: Schema, required: Iterable[str]) -> str:
    """Say what a field is when it is not given."""
    if name in required:
        return "**required**"
    if field.get("default") is None:
        return "random" if name == "seed" else "none"
    return f"`{field['default']}`"


def say_type(field: Schema) -> str:
    """Say what a field may be, with its bounds."""
    if arms := [arm for arm in field.get("anyOf", ()) if arm.get("type") != "null"]:
        return " or ".join(map(say_type, arms))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " · ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{str(field['const']).lower()}`"
    if "minItems" in field and "maxItems" in field:
        return f"list of {field['minItems']} to {field['maxItems']}, each {say_type(field['items'])}"
    types = field.get("type", "any")
    name = " or ".join(types) if isinstance(types, list) else types
    return ", ".join([{"string": "text"}.get(name, name), *bounds(field)])


def bounds(field: Schema) -> Iterator[str]:
    """List the bounds of a field."""
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    above = "above " if "exclusiveMinimum" in field else ""
    if low is not None and high is not None:
        yield f"{above}{low} to {shorten(high)}"
    elif low is not None:
        yield f"from {low}"
    if step := field.get("multipleOf"):
        yield f"multiple of {step}"
    if longest := field.get("maxLength"):
        yield f"up to {longest} characters"
    if pattern := field.get("pattern"):
        yield f"`{pattern}`"


def shorten(number: float) -> str:
    """Write 2⁵³−1 as people do."""
    return "2⁵³−1" if number == 2**53 - 1 else str(number)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
