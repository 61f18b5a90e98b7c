"""What the docs site says of the HTTP API: read from our own OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from api import openapi
from api.operations import LAST_ID, SUBMIT_HEADERS
from scripts.pages_tools import Schema, say, say_default, say_type, table
from tools.catalog import TOOLS
from tools.resolve_template import RESOLVE_TEMPLATE

#: What an operation's answer is called when it has no fields that we promise.
KINDS = {"object": "an object", "array": "a list"}


def write_routes(group: str) -> str:
    """Write all operations of a group: `jobs`, `training`, `templates`, or a tool."""
    found = [
        (verb, path, operation)
        for path, verbs in document()["paths"].items()
        for verb, operation in verbs.items()
        if group in operation["tags"]
    ]
    if not found:
        raise ValueError(f"the API has no group {group}")
    return "\n\n".join(part for each in found for part in write_operation(*each))


def write_headers(name: str) -> str:
    """Write what headers mean, those of a submit or of events, each with an anchor."""
    known = {"submit": SUBMIT_HEADERS, "events": LAST_ID}[name]
    rows = (
        (f"`{header}` {{ #{header.lower()} }}", say_type(schema), schema["description"])
        for header, schema in known.items()
    )
    return table(("header", "type", "what it says"), rows)


def write_schema(name: str) -> str:
    """Write the fields of a schema that many routes share."""
    return write_fields(document()["components"]["schemas"][name])


def document() -> dict[str, Any]:
    """Describe the whole API, as the house does at /openapi.json."""
    return openapi.describe(list(TOOLS.values()), "")


def write_operation(verb: str, path: str, operation: Schema) -> Iterator[str]:
    """Write one operation: its text, what it takes, and what it answers."""
    yield f"### `{verb.upper()} {path}` {{ #{operation['operationId']} }}"
    yield operation["summary"]
    asked = operation.get("parameters", ())
    if rows := [
        (f"`{each['name']}`", say_type(each["schema"]), each["description"]) for each in asked if each["in"] == "query"
    ]:
        yield table(("in the query", "type", "what it says"), rows)
    if headers := [f"[`{each['name']}`](#{each['name'].lower()})" for each in asked if each["in"] == "header"]:
        yield f"Headers: {' and '.join(headers)}."
    yield from write_bodies(operation)
    yield "\n".join(f"- {line}" for line in list_answers(operation["responses"]))


def write_bodies(operation: Schema) -> Iterator[str]:
    """Write what a body may hold; a tool's own page says more of its params."""
    content = operation.get("requestBody", {}).get("content", {})
    name = str(operation["operationId"]).removesuffix("_async")
    if content and name in TOOLS and name != RESOLVE_TEMPLATE.name:  # its address names the template
        yield f"Body: `{'` or `'.join(content)}` with [the params of {name}](tools/{name}.md#params)."
        return
    media = " or ".join(f"`{each}`" for each in content)
    for each in list(content.values())[-1:]:  # a form takes all that JSON does, and files too
        yield f"Body: {media}."
        yield write_fields(each["schema"])


def write_fields(schema: Schema) -> str:
    """Write the table of an object's fields."""
    required = schema.get("required", [])
    rows = (
        (f"`{name}`", say_file(field), "yes" if name in required else say_gap(name, field), say(field))
        for name, field in schema["properties"].items()
    )
    return table(("field", "type", "always there", "what it says"), rows)


def say_file(field: Schema) -> str:
    """Say what a field may be, also where it is a file."""
    return "file" if field.get("format") == "binary" else say_type(field)


def say_gap(name: str, field: Schema) -> str:
    """Say what a missing field means, if it means something."""
    return say_default(name, field, ()) if field.get("default") is not None else ""


def list_answers(responses: Schema) -> Iterator[str]:
    """List what comes back, by status; that anything can answer with a problem, the page says once."""
    own = {status for status, answer in responses.items() if status != "default" and "$ref" not in answer}
    for status in sorted(own):
        for media, content in responses[status].get("content", {"": {"schema": {}}}).items():
            yield f"**{status}** {say_answer(media, content['schema'])}"


def say_answer(media: str, schema: Schema) -> str:
    """Say what an answer holds."""
    if not media:
        return "and no body"
    if schema.get("format") == "binary":
        return f"the file, `{media}`"
    if media == "text/event-stream":
        return f"the same as a [stream](events.md), `{media}`"
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"a [{name.lower()}](#{name.lower()}), `{media}`"
    if fields := schema.get("properties"):
        return ", ".join(f"`{name}`" for name in fields)
    return KINDS[schema["type"]]
