"""What can be asked over HTTP, as a table of operations; OpenAPI is made from it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from api.jobs import LONGEST_PAGE, LONGEST_POLL
from api.templates import NewTemplate
from tools.contract import Tool
from tools.dataset import LEAST, MOST
from tools.train import TRAIN
from tools.webhooks import WEBHOOK, Webhook, schema_of_webhook

Schema = dict[str, Any]

#: What every submit understands beside its body.
SUBMIT_HEADERS: dict[str, Schema] = {
    "Prefer": {
        "type": "string",
        "description": "wait=30 waits that long for the end, respond-async does not wait; a 202 comes after the wait.",
    },
    "Idempotency-Key": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "description": "A request sent again under the same key makes no second job, and answers for the first.",
    },
}

OBJECT: Schema = {"type": "object"}
JOB, MODEL, TEMPLATE = ({"$ref": f"#/components/schemas/{name}"} for name in ("Job", "Model", "Template"))
STREAM: Schema = {"type": "string", "description": "Frames of id, event and data; each data is one Event."}
EVENTS: Schema = {
    "type": "object",
    "required": ["data", "next_cursor", "has_more"],
    "properties": {
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}, "description": "The oldest first."},
        "next_cursor": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
}
LAST_ID: dict[str, Schema] = {
    "Last-Event-ID": {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "A stream goes on after this event; one that is not there any more gives a snapshot instead.",
    },
}
BINARY: Schema = {"type": "string", "format": "binary"}
PAGES: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "description": "How many on a page."},
    "cursor": {"type": "string", "description": "next_cursor of the page before."},
}
SECONDS: Schema = {"type": "integer", "minimum": 0, "maximum": LONGEST_POLL}
WAIT: dict[str, Schema] = {"wait": {**SECONDS, "description": "Seconds to wait for the end."}}
ACCEPTED: Schema = {
    "type": "object",
    "required": ["job_id", "status"],
    "properties": {"job_id": {"type": "string", "format": "uuid"}, "status": {"type": "string"}},
}


@dataclass(frozen=True)
class Operation:
    """One operation: how it is asked for, and what it answers, by status."""

    verb: str
    path: str
    name: str
    text: str
    answers: dict[str, Schema]
    json: Schema | None = None
    form: Schema | None = None
    query: dict[str, Schema] = field(default_factory=dict)
    headers: dict[str, Schema] = field(default_factory=dict)
    media: str = "application/json"
    #: Whether it tells the same as a stream, too, to who asks for one.
    streams: bool = False

    def describe(self) -> Schema:
        """Write the operation down as OpenAPI does."""
        said: Schema = {"operationId": self.name, "summary": self.text}
        if parameters := list(self.parameters()):
            said["parameters"] = parameters
        # JSON first: clients that look at one media type only look at the first.
        bodies = {"application/json": self.json, "multipart/form-data": self.form}
        if content := {media: {"schema": schema, **example_of(schema)} for media, schema in bodies.items() if schema}:
            said["requestBody"] = {"required": True, "content": content}
        if self.path.startswith(OPEN):
            said["security"] = []
        known = {str(code): REFUSED for code in REFUSALS if self.verb in CHANGES or code not in OF_CHANGES}
        return {**said, "responses": {**known, **self.responses(), "default": PROBLEM_RESPONSE}}

    def parameters(self) -> Iterator[Schema]:
        """List what stands in the path, the query and the headers."""
        for name in re.findall(r"{(\w+)}", self.path):
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for place, known in (("query", self.query), ("header", self.headers)):
            for name, schema in known.items():
                yield {"name": name, "in": place, "description": schema["description"], "schema": schema}

    def responses(self) -> Schema:
        """List the answers."""
        stream = {"text/event-stream": {"schema": STREAM}} if self.streams else {}
        return {
            status: {
                "description": SAID[status],
                **({"content": {self.media: {"schema": schema}, **stream}} if schema else {}),
            }
            for status, schema in self.answers.items()
        }


#: What an answer means, by its status.
SAID = {
    "200": "The answer.",
    "201": "It is made.",
    "202": "It is under way: poll it under its id.",
    "204": "There is nothing to tell.",
    "503": "Something that we need is away.",
}

PROBLEM_RESPONSE: Schema = {
    "description": "A problem document: what went wrong, and what to do.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


#: The same, where a code is named; and the codes that an operation may answer with, some only where a body is sent.
REFUSED: Schema = {"$ref": "#/components/responses/Problem"}
REFUSALS = (400, 401, 402, 403, 404, 408, 409, 413, 414, 415, 416, 422, 429, 431, 500, 502, 503)
CHANGES, OF_CHANGES = ("post", "patch"), (402, 408, 409, 413, 415, 502)

#: What needs no key.
OPEN = ("/health", "/ready", "/hooks/")


def list_of(schema: Schema) -> Schema:
    """Describe a list of such."""
    return {"type": "array", "items": schema}


def example_of(schema: Schema) -> Schema:
    """Give a body that could be sent as it stands: what must be given, by the examples that the contract has."""
    known, needed = schema["properties"], schema.get("required", ())
    if not needed or any("examples" not in known[name] for name in needed):
        return {}
    return {"example": {name: field["examples"][0] for name, field in known.items() if "examples" in field}}


def schema_of(model: type[BaseModel], *, answered: bool = False) -> Schema:
    """Make a schema without references: some clients follow none."""
    schema = model.model_json_schema(mode="serialization" if answered else "validation")
    inlined: Schema = inline(schema, schema.pop("$defs", {}))
    return inlined


def submit_schema(tool: Tool) -> Schema:
    """Make the schema of a submit's body: the params, and beside them what may be said of time and of a webhook."""
    params, deadlines = schema_of(tool.params), schema_of(tool.deadlines)
    return with_webhook({**params, "properties": {**params["properties"], **deadlines["properties"]}})


def with_webhook(schema: Schema) -> Schema:
    """Add to the schema of a submit's body where its caller wants to hear of it."""
    webhook = schema_of_webhook(schema_of(Webhook))
    return {**schema, "properties": {**schema["properties"], WEBHOOK: webhook}}


def inline(value: Any, definitions: Schema) -> Any:
    """Put what is referred to in the place of the reference."""
    if isinstance(value, dict):
        if name := str(value.get("$ref", "")).rpartition("/")[2]:
            return inline(definitions[name], definitions)
        return {key: inline(inner, definitions) for key, inner in value.items()}
    return [inline(inner, definitions) for inner in value] if isinstance(value, list) else value


def of_tool(tool: Tool) -> Iterator[Operation]:
    """List the operations of a tool with the standard routes."""
    name, params, result = tool.name, submit_schema(tool), schema_of(tool.result, answered=True)
    both = {"200": result, "202": ACCEPTED}
    media = "video/mp4" if tool.suffix == ".mp4" else "image/png"
    yield Operation(
        "post", f"/api/{name}", name, f"{tool.summary} Waits for the end.", both, params, headers=SUBMIT_HEADERS
    )
    yield Operation(
        "post", f"/api/{name}/async", f"{name}_async", f"{tool.summary} Answers at once with a job id.",
        both, params, headers=SUBMIT_HEADERS,
    )  # fmt: skip
    yield Operation("get", f"/api/{name}/{{job_id}}", f"get_{name}_job", f"Poll a job of {name}.", {"200": JOB})
    yield Operation(
        "get", f"/api/{tool.files}/{{filename}}", f"get_{name}_file", f"Serve a file that {name} left.",
        {"200": BINARY}, media=media,
    )  # fmt: skip


def of_training() -> Iterator[Operation]:
    """List the operations of training."""
    params, status = submit_schema(TRAIN), schema_of(TRAIN.result, answered=True)
    form = {**params, "properties": {**params["properties"], "images": {**BINARY, "description": "A zip of photos."}}}
    key = {"Idempotency-Key": SUBMIT_HEADERS["Idempotency-Key"]}
    yield Operation("post", "/api/train", "train", TRAIN.summary, {"202": status}, params, form, headers=key)
    yield from (
        Operation("get", "/api/training-status/{job_id}", "get_training_status", "Poll a training.", {"200": status}),
        Operation(
            "get", "/api/training-config", "get_training_config", "Show training's defaults.", {"200": OBJECT},
            query={"images": {"type": "integer", "minimum": LEAST, "maximum": MOST,
                              "description": "Show what so many photos are trained with, and why."}},
        ),
        Operation("get", "/api/models", "list_models", "List all trained models.", {"200": list_of(MODEL)}),
        Operation("get", "/api/models/{model_id}", "get_model", "Show one model.", {"200": MODEL}),
        Operation(
            "get", "/api/models/{model_id}/cutouts", "get_model_cutouts", "Show what a model was made from.",
            {"200": BINARY}, media="image/png",
        ),
        Operation(
            "get", "/api/models/{model_id}/samples", "get_model_samples", "Show pictures without a model and with it.",
            {"200": BINARY}, media="image/png",
        ),
    )  # fmt: skip


def of_templates(resolve: Tool) -> Iterator[Operation]:
    """List the operations of templates."""
    new, one = schema_of(NewTemplate), "/api/templates/{template_id}"
    form = {**new, "properties": {**new["properties"], "image": BINARY}}
    word = {"properties": {"trigger_word": schema_of(resolve.params)["properties"]["trigger_word"]}}
    asked = {"type": "object", "required": ["trigger_word"], **word}
    yield from (
        Operation("get", "/api/templates", "list_templates", "List all templates.", {"200": list_of(TEMPLATE)}),
        Operation("post", "/api/templates", "create_template", "Make a template.", {"201": TEMPLATE}, new, form),
        Operation("get", one, "get_template", "Show one template.", {"200": TEMPLATE}),
        Operation("delete", one, "delete_template", "Delete a template.", {"204": {}}),
        Operation(
            "post", f"{one}/resolve", resolve.name, resolve.summary,
            {"200": schema_of(resolve.result, answered=True)}, asked,
        ),
        Operation(
            "get", f"{one}/image", "get_template_image", "Serve a template's picture.", {"200": BINARY},
            media="image/png",
        ),
    )  # fmt: skip


def of_events(what: str, text: str) -> Operation:
    """Describe the events of a job or a flow."""
    answers: dict[str, Schema] = {"200": EVENTS, "204": {}}
    path, name = f"/api/{what}s/{{{what}_id}}/events", f"list_{what}_events"
    return Operation("get", path, name, text, answers, query=PAGES, headers=LAST_ID, streams=True)
