"""What a value will be before it is there: its JSON type and its kind, as far as a contract tells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from tools.contract import kind_of
from tools.kinds import Kind
from tools.references import is_index

#: JSON's words for Python's types.
WORDS: dict[Any, str] = {
    str: "string", int: "integer", float: "number", bool: "boolean", list: "array", tuple: "array", dict: "object",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A value that is not there yet. Type "" = it may be anything."""

    type: str = ""
    kind: Kind | None = None
    inner: "Shape | None" = None
    fields: Mapping[str, "Shape"] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """Name it in a sentence."""
        return self.kind.name if self.kind else self.type or "anything"

    def listed(self) -> "Shape":
        """Make it a list of such values."""
        return Shape("array", inner=self)

    def fits(self, wanted: "Shape") -> bool:
        """Tell whether such a value can be given where another is wanted."""
        if not self.type or not wanted.type:
            return not (wanted.kind and wanted.kind.door)  # what may be anything is no file for sure
        if "array" in (self.type, wanted.type):
            inner = self.inner or Shape(), wanted.inner or Shape()
            return self.type == wanted.type and inner[0].fits(inner[1])
        return self.of_type(wanted.type) and self.of_kind(wanted.kind)

    def of_type(self, wanted: str) -> bool:
        """Tell whether JSON takes the one for the other."""
        return self.type == wanted or (self.type, wanted) == ("integer", "number")

    def of_kind(self, wanted: Kind | None) -> bool:
        """Tell whether it carries what is wanted: a file only where files are taken, and words wherever a text is."""
        own = self.kind
        if wanted and wanted.door:
            return own is not None and own.door == wanted.door  # a mask is a picture too
        if own is None or (wanted and own.name == wanted.name):
            return True
        return own.inherited and self.type == "string"


def shape_of(annotation: Any, kind: Kind | None = None) -> Shape:
    """Read the shape of a type."""
    if get_origin(annotation) is Annotated:
        marks = [mark for mark in annotation.__metadata__ if isinstance(mark, Kind)]
        return shape_of(annotation.__origin__, kind or next(iter(marks), None))
    arms = [arm for arm in get_args(annotation) if arm is not type(None)]
    plain = get_origin(annotation) or annotation
    if plain in WORDS:
        inner = shape_of(arms[0], kind) if arms and WORDS[plain] == "array" else None
        return Shape(WORDS[plain], None if inner else kind, inner)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return Shape("object", fields=fields_of(plain))
    # Of what may be one file or a list of them, a result can only give the one.
    return shape_of(arms[0], kind) if len(arms) == 1 or (arms and kind) else Shape()


@cache
def fields_of(model: type[BaseModel], *, answered: bool = True) -> Mapping[str, Shape]:
    """Read the shapes of a model's fields, by the names under which they are answered, or given."""
    return {
        (answered and info.serialization_alias) or name: shape_of(info.annotation, kind_of(info))
        for name, info in model.model_fields.items()
    }


def follow(shape: Shape, path: Iterable[str]) -> Shape | None:
    """Follow a path into it: None if it leads nowhere."""
    for key in path:
        if shape.type == "array" and not is_index(key):
            inner = follow(shape.inner or Shape(), [key])
            found = inner.listed() if inner else None
        else:
            found = shape.inner if shape.type == "array" else shape.fields.get(key)
        if found is None and shape.type:
            return None
        shape = found or Shape()
    return shape
