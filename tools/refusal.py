"""Saying no so well that the caller can mend it in one turn."""

import math
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tools import references
from tools.errors import InvalidInput, MissingInput, ToolError, UnknownField
from tools.texts import SPELLED

#: Deeper than any request of ours, and far from Python's own limit.
DEEPEST = 32

#: What is wrong is named up to so many faults: each costs time, and nobody reads more at once.
MOST_FAULTS = 100


def check_sound(value: Any, pointer: str = "", depth: int = 0) -> None:
    """Refuse what JSON, PostgreSQL or a GPU cannot carry: NaN, infinities, NUL, lone surrogates, huge ints."""
    if depth > DEEPEST:
        raise InvalidInput(f"{pointer or 'the body'} is nested deeper than {DEEPEST} levels.")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            check_sound(str(key), pointer, depth + 1)
            check_sound(inner, f"{pointer}{token(key)}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check_sound(inner, f"{pointer}/{index}", depth + 1)
    elif why := unsound(value):
        raise InvalidInput.at(pointer.lstrip("/"), why)


def token(key: Any) -> str:
    """Write one step of a JSON pointer."""
    return "/" + str(key).replace("~", "~0").replace("/", "~1")


def unsound(value: Any) -> str | None:
    """Say what is wrong with one plain value, if something is."""
    if isinstance(value, float) and not math.isfinite(value):
        return "give a finite number."
    if isinstance(value, int) and abs(value) >= 2**63:
        return "this number is too large."
    if isinstance(value, str) and "\0" in value:
        return "text must not contain the character NUL."
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "text must be valid Unicode; half of a surrogate pair is not."
    return None


def refuse(model: type[BaseModel], error: ValidationError) -> ToolError:
    """Turn Pydantic's errors into one of ours: the first is the sentence, all are listed."""
    return gather([explain(model, detail) for detail in error.errors(include_url=False)[:MOST_FAULTS]])


def refuse_given(model: type[BaseModel], error: ValidationError, fillable: Collection[str]) -> ToolError | None:
    """Do the same where these gaps, and references, will still be filled: None if only they were wrong."""
    wrong = [detail for detail in error.errors(include_url=False) if not is_open(detail, fillable)]
    return gather([explain(model, detail) for detail in wrong[:MOST_FAULTS]]) if wrong else None


def is_open(detail: ErrorDetails, fillable: Collection[str]) -> bool:
    """Tell whether what is still to come can put this right."""
    if detail["type"] == "missing":
        return detail["loc"][0] in fillable
    if references.whole(detail["input"]):
        return True
    return detail["type"].startswith("string_") and any(references.find(detail["input"]))  # a text of another length


def gather(errors: list[dict[str, Any]], text: str = "") -> ToolError:
    """Make one error of all."""
    codes = {entry["code"] for entry in errors}
    cls = next((cls for cls in (MissingInput, UnknownField) if codes == {cls.code}), InvalidInput)
    return cls(text or " ".join(sentences(errors)), {"errors": errors})


def sentences(errors: list[dict[str, Any]]) -> Iterator[str]:
    """Write out each error, with what would be legal."""
    for entry in errors:
        yield f"{entry['pointer'].lstrip('/') or 'The body'}: {entry['detail']}{advise(entry)}"


def advise(entry: Mapping[str, Any]) -> str:
    """Say what would be legal instead, if we know."""
    legal = " or ".join(str(value) for value in entry.get("suggestions", []))
    return f" Did you mean {legal}?" if legal else ""


def explain(model: type[BaseModel], detail: ErrorDetails) -> dict[str, Any]:
    """Describe one error: where, which, what would be legal."""
    where = detail["loc"] or detail.get("ctx", {}).get("blamed", ())
    entry: dict[str, Any] = {"pointer": "".join(map(token, where)), "code": InvalidInput.code}
    entry["detail"] = f"{in_words(detail)}.".replace("..", ".")
    if detail["type"] == "extra_forbidden":
        entry |= {"code": UnknownField.code, "detail": "there is no such field."}
        entry["suggestions"] = get_close_matches(str(where[0]), known(model), n=2, cutoff=0.5)
    elif detail["type"] == "missing":
        entry |= {"code": MissingInput.code, "detail": "this is required."}
    else:
        entry["suggestions"] = nearest(detail)
    return {key: value for key, value in entry.items() if value != []}


def in_words(detail: ErrorDetails) -> str:
    """Say what is wrong without what only programmers read: a pattern, or the name of an exception."""
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    return SPELLED.get(context.get("pattern", ""), detail["msg"])


def known(model: type[BaseModel]) -> list[str]:
    """Name the fields that may be given, with those that are taken beside the model."""
    own = [info.alias or name for name, info in model.model_fields.items()]
    return [*own, *getattr(model, "BESIDE", ())]


def nearest(detail: ErrorDetails) -> list[Any]:
    """Name the nearest legal values."""
    context = detail.get("ctx", {})
    if "multiple_of" in context:
        step = context["multiple_of"]
        low = detail["input"] // step * step
        return [value for value in (low, low + step) if value > 0]
    return list(context.get("suggestions", []))
