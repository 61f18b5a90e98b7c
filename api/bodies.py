"""Read what a request carries, and refuse what cannot be read."""

import json
from typing import Any, NoReturn, get_args

from flask import request
from werkzeug.datastructures import FileStorage

from api.problems import BadRequest, UnsupportedContentType
from tools.contract import Tool
from tools.errors import InvalidInput, TooLarge, UnknownField
from tools.refusal import check_sound

#: The largest JSON body, in bytes: files travel as addresses.
LARGEST_JSON = 256 * 1024

#: The most digits of a number; Python itself takes no more than 4,300, and none of our fields a tenth of these.
MOST_DIGITS = 400


def read_json(*, or_form: bool = False, or_nothing: bool = False) -> dict[str, Any]:
    """Read a JSON object. Raises BadRequest, UnsupportedContentType, TooLarge, InvalidInput."""
    if or_nothing and not request.content_length and "Transfer-Encoding" not in request.headers:
        return {}
    if request.mimetype != "application/json":
        wanted = "multipart/form-data or application/json" if or_form else "application/json"
        sent = request.mimetype or "a body without a Content-Type"
        raise UnsupportedContentType(f"Send this as {wanted}, not as {sent}.")
    length = request.content_length or 0  # a body may come without; by a bound of werkzeug's it would be cut in silence
    if length > LARGEST_JSON or len(data := request.stream.read(LARGEST_JSON + 1)) > LARGEST_JSON:
        raise TooLarge(f"A JSON body may have {LARGEST_JSON // 1024} kB: send files by their address.")
    return parse(data)


def parse(data: bytes) -> dict[str, Any]:
    """Parse a JSON object, strictly; nothing in it is too deep, too large or too strange for what comes after."""
    if not data.strip():
        raise BadRequest('The body is empty: send a JSON object, as {"prompt": "…"}.')
    try:
        body = json.loads(
            data.decode(), object_pairs_hook=make_object, parse_constant=refuse_constant, parse_int=read_int
        )
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8: encode it so, whatever the Content-Type says.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply: an object of plain values will do.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not JSON: {str(error).removesuffix(' (decode using utf-8-sig)')}.") from None
    if not isinstance(body, dict):
        raise BadRequest('Send a JSON object, as {"prompt": "…"}.')
    check_sound(body)
    return body


def read_int(text: str) -> int:
    """Read a whole number, of a length that Python reads."""
    if len(text) > MOST_DIGITS:
        raise InvalidInput(f"The body holds a number of {len(text)} digits: none of our fields takes one so large.")
    return int(text)


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object whose keys are all different: which of two values counts is anybody's guess."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"The key {twice[:100]} stands in the body twice: send each key once.")
    return made


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which are not JSON."""
    raise ValueError(f"{name} is not a number that JSON knows")


def read_form(tool: Tool) -> dict[str, Any]:
    """Read a form's fields; the text of a number becomes the number that the contract wants."""
    fields = {**tool.params.model_fields, **tool.deadlines.model_fields}
    return {
        name: read_number(fields[name].annotation, text) if name in fields else text
        for name, text in read_fields().items()
    }


def read_fields() -> dict[str, str]:
    """Read a form's fields as text. Raises BadRequest for one that comes twice."""
    for name, texts in request.form.lists():
        if len(texts) > 1:
            raise BadRequest(f"The field {name[:100]} stands in the form twice: send each field once.")
    return request.form.to_dict()


def read_file(name: str, one: str = "send one") -> FileStorage | None:
    """Find a form's one file; None if there is none. Raises UnknownField, BadRequest, which say how to send it."""
    for other, uploads in request.files.lists():
        if other != name:
            raise UnknownField.at(other[:100], f"there is no such file field: send the file in {name}.")
        if len(uploads) > 1:
            raise BadRequest(f"The form has {len(uploads)} files in {name}: {one}.")
    return request.files.get(name)


def read_number(annotation: Any, text: str) -> Any:
    """Read a number where one is wanted; what is none stays text, and the contract refuses it."""
    wanted = annotation if isinstance(annotation, type) else next(iter(get_args(annotation)), str)
    if wanted not in {int, float}:
        return text
    try:
        return wanted(text)
    except ValueError:
        return text
