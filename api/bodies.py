"""Read what a request carries, and refuse what cannot be read."""

import json
from typing import Any, NoReturn, get_args

from flask import request

from api.problems import BadRequest, UnsupportedContentType
from tools.contract import Tool
from tools.errors import TooLarge

#: The largest JSON body, in bytes: files travel as addresses.
LARGEST_JSON = 256 * 1024


def read_json() -> dict[str, Any]:
    """Read a JSON object. Raises BadRequest, UnsupportedContentType, TooLarge."""
    if request.mimetype != "application/json":
        raise UnsupportedContentType(f"Send this as application/json, not as {request.mimetype or 'nothing'}.")
    if (request.content_length or 0) > LARGEST_JSON:
        raise TooLarge(f"A JSON body may have {LARGEST_JSON // 1024} kB: send files by their address.")
    request.max_content_length = LARGEST_JSON
    return parse(request.get_data())


def parse(data: bytes) -> dict[str, Any]:
    """Parse a JSON object, strictly."""
    try:
        body = json.loads(data.decode("utf-8"), object_pairs_hook=make_object, parse_constant=refuse_constant)
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest('Send a JSON object, as {"prompt": "…"}.')
    return body


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object whose keys are all different: which of two values counts is anybody's guess."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"The key {twice[:100]} stands in the body twice.")
    return made


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which are not JSON."""
    raise ValueError(f"{name} is not a number that JSON knows")


def read_form(tool: Tool) -> dict[str, Any]:
    """Read a form's fields; the text of a number becomes the number that the contract wants."""
    fields = tool.params.model_fields
    given = {name: request.form[name] for name in request.form}
    return {
        name: read_number(fields[name].annotation, text) if name in fields else text for name, text in given.items()
    }


def read_number(annotation: Any, text: str) -> Any:
    """Read a number where one is wanted; what is none stays text, and the contract refuses it."""
    wanted = annotation if isinstance(annotation, type) else next(iter(get_args(annotation)), str)
    if wanted not in {int, float}:
        return text
    try:
        return wanted(text)
    except ValueError:
        return text
