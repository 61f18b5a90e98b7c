"""The API's own description: OpenAPI, a page to browse it, and the tools' schemas."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request, send_from_directory
from markupsafe import escape

from api import flow_operations, operations, webhook_operations
from api.flows import STATUSES as FLOW_STATUSES
from api.jobs import STATUSES
from api.operations import Operation
from settings import VERSION, settings
from tools import errors
from tools.contract import Tool

#: Swagger UI's own files, from the wheel that carries them; its Flask part is not imported.
ASSETS = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui"))) / "dist"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Packshot API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="ui"></div><script src="/docs/swagger-ui-bundle.js"></script>
<script>%s</script>
</body></html>
"""

START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});'

#: The page runs what stands in it and the bundle beside it, which writes styles and shows pictures of its own.
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; font-src 'self'; style-src 'self' 'unsafe-inline'; "
    f"script-src 'self' 'sha256-{b64encode(sha256(START.encode()).digest()).decode()}'; frame-ancestors 'none'"
)

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "retryable", "success"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "success": {"const": False},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "What a program decides by."},
        "detail": {"type": "string", "description": "What happened and what to do, in a sentence."},
        "retryable": {"type": "boolean", "description": "Whether the same request can succeed later."},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "Each field: pointer, code, detail."},
    },
}

COSTS = {
    "queue_seconds": {"type": "number", "minimum": 0, "description": "Seconds that attempts waited for a worker."},
    "cost_usd": {"type": ["number", "null"], "description": "US dollars for the GPU seconds; null: no price is set."},
}

JOB = {
    "type": "object",
    "required": ["job_id", "status", "result"],
    "properties": {
        "job_id": {"type": "string", "format": "uuid"},
        "status": {"enum": list(STATUSES)},
        "result": {"type": ["object", "null"], "description": "What the synchronous route answers."},
        "stage": {"type": "string", "description": "Says more than the status, and is free to grow."},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "gpu_seconds": {"type": "number", "minimum": 0, "description": "Seconds on a GPU that it cost, all attempts."},
        **COSTS,
        "error": {"type": ["object", "null"], "description": "As in a problem document."},
    },
}

KEY = {"type": "http", "scheme": "bearer", "description": "A key that `packshot keys create` made."}

STEP = {
    "type": "object",
    "required": ["id", "tool", "status", "result", "jobs"],
    "properties": {
        "id": {"type": "string"},
        "tool": {"type": "string"},
        "status": {"type": "string", "description": "As a job's, or skipped."},
        "after": {"type": "array", "items": {"type": "string"}, "description": "The steps directly before it."},
        "kept": {"type": "boolean", "description": "Whether its results are those of the flow before."},
        "result": {"type": ["object", "array", "null"], "description": "A list, if it is spread over many jobs."},
        "error": {"type": ["object", "null"], "description": "As in a problem document."},
        "jobs": {"type": "array", "items": {"type": "object"}, "description": "Each with its params, as bound."},
    },
}

FLOW = {
    "type": "object",
    "required": ["flow_id", "status", "steps"],
    "properties": {
        "flow_id": {"type": "string", "format": "uuid"},
        "status": {"enum": list(FLOW_STATUSES)},
        "name": {"type": ["string", "null"]},
        "inputs": {"type": "object"},
        "steps": {"type": "array", "items": STEP, "description": "In an order in which they can run."},
        "edges": {"type": "array", "items": {"type": "array"}, "description": "Pairs of steps: before, after."},
        "gpu_seconds": {"type": "number", "minimum": 0, "description": "Seconds on a GPU that its own jobs cost."},
        **COSTS,
        "retry_of": {"type": ["string", "null"], "description": "The flow that it does once more."},
        "changes": {"type": ["object", "null"], "description": "What is different: from_step, overrides."},
    },
}

EVENT = {
    "type": "object",
    "required": ["id", "event", "at", "ended", "status"],
    "properties": {
        "id": {"type": ["integer", "null"], "description": "Grows with each event; a snapshot has that of the newest."},
        "event": {"type": "string", "description": "snapshot, accepted, started, progress, completed, ..."},
        "at": {"type": "string", "format": "date-time"},
        "ended": {"type": "boolean", "description": "Whether this is the last of all."},
        "status": {"type": "string", "description": "Of the job at that time; of a flow, as it is now."},
        "stage": {"type": "string"},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "result": {"type": ["object", "null"], "description": "With the end of a job: what the poll shows, too."},
        "error": {"type": ["object", "null"]},
        "steps": {"type": "array", "items": {"type": "object"}, "description": "Of a flow: each step, as it is now."},
        "job": {"type": ["object", "null"], "description": "Of a flow: the job to which it happened, as it was then."},
    },
}


#: What a docstring sets off as words of a program.
WORDS = re.compile(r"`([^`]+)`")


def routes(served: list[Tool]) -> Blueprint:
    """Make the routes that describe these tools."""
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def get_openapi() -> Response:
        return jsonify(describe(served, request.host_url.rstrip("/")))

    @blueprint.get("/api/tools")
    def list_tools() -> Response:
        return jsonify({"engine": settings().engine, "tools": [describe_tool(tool) for tool in served]})

    @blueprint.get("/docs")
    def get_docs() -> Response:
        return Response(
            PAGE % START, headers={"Content-Security-Policy": POLICY}, content_type="text/html; charset=utf-8"
        )

    @blueprint.get("/docs/problems")
    def get_problems() -> Response:
        return Response("".join(list_problems()), content_type="text/html; charset=utf-8")

    @blueprint.get("/docs/<path:filename>")
    def get_asset(filename: str) -> Response:
        return send_from_directory(ASSETS, filename)

    return blueprint


def list_problems() -> Iterator[str]:
    """Write the page to which the type of a problem document leads."""
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Problems</title></head><body>'
    yield "<h1>Problems</h1><p>The code in an answer says which of these it is, its detail what to do.</p><dl>\n"
    known = {error.code: error for error in errors.every()}
    for code, error in sorted(known.items()):
        again = " The same request can succeed later." if error.retryable else ""
        said = WORDS.sub(r"<code>\1</code>", str(escape(error.__doc__ or "")))
        yield f'<dt id="{code}"><strong><code>{code}</code></strong></dt><dd>{said}{again}</dd>\n'
    yield "</dl></body></html>\n"


def describe(served: list[Tool], base: str) -> dict[str, Any]:
    """Write the whole document; `base` is where we are reached."""
    paths: dict[str, dict[str, Any]] = {}
    locked = settings().auth == "keys"
    for group, operation in every(served):
        paths.setdefault(operation.path, {})[operation.verb] = {"tags": [group], **operation.describe()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Packshot", "version": VERSION, "description": "GPU tools for product imagery."},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, "Job": JOB, "Flow": FLOW, "Event": EVENT},
            "responses": {"Problem": operations.PROBLEM_RESPONSE},
            **({"securitySchemes": {"key": KEY}} if locked else {}),
        },
        **({"security": [{"key": []}]} if locked else {}),
    }


def every(served: list[Tool]) -> Iterator[tuple[str, Operation]]:
    """List the operations of these tools, and those that are always there, each with its group."""
    for tool in served:
        if tool.files:
            yield from ((tool.name, operation) for operation in operations.of_tool(tool))
        elif tool.local:
            yield from (("templates", operation) for operation in operations.of_templates(tool))
        elif tool.trains:
            yield from (("training", operation) for operation in operations.of_training())
    yield from (("flows", operation) for operation in flow_operations.of_flows())
    yield from (("batches", operation) for operation in flow_operations.of_batches())
    yield from (("webhooks", operation) for operation in webhook_operations.of_webhooks())
    yield from (("jobs", operation) for operation in operations.of_house())


def describe_tool(tool: Tool) -> dict[str, Any]:
    """Describe a tool by the JSON Schemas of what it takes and gives."""
    return {
        "name": tool.name,
        "summary": tool.summary,
        "params": operations.schema_of(tool.params),
        "result": operations.schema_of(tool.result, answered=True),
        "deadlines": operations.schema_of(tool.deadlines),
        "takes": {name: kind.name for name, kind in tool.takes.items()},
        "gives": {name: kind.name for name, kind in tool.gives.items()},
        "limits": vars(tool.limits),
    }
