"""The API's own description: OpenAPI, a page to browse it, and the tools' schemas."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request, send_from_directory
from werkzeug.wrappers import Response as Redirection

from api import flow_operations, job_operations, operations, pages, schemas, webhook_operations
from api.operations import Operation
from settings import VERSION, settings
from tools.contract import Tool

#: What the description begins with.
ABOUT = """Tools for pictures of products: train a LoRA, generate, mask, inpaint, film.

A tool's own route waits for the end and answers with the result; its `/async` route answers at once with a `job_id`, to
poll at `/api/jobs/{job_id}`. The `r2_path` of one answer is an input of the next. Whatever goes wrong is a
[problem](/docs/problems) whose `detail` says what to do."""

#: What each group of operations is for; that of a tool is the tool's own summary.
GROUPS = {
    "training": "Learn a product from its photos; and the models that came of it.",
    "templates": "Prompts in which `trigger_keyword` stands for the word of a product.",
    "flows": "Steps with references between them, in one request.",
    "batches": "One tool many times, in one request.",
    "webhooks": "Addresses that are told what happens.",
    "jobs": "Each call of a tool is a job: poll it, hear of it, cancel it, do it again.",
    "house": "Pictures to bring, what was used, and whether all is well.",
}


def routes(served: list[Tool]) -> Blueprint:
    """Make the routes that describe these tools."""
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def get_openapi() -> Response:
        return jsonify(describe(served, request.host_url.rstrip("/")))

    @blueprint.get("/api/tools")
    def list_tools() -> Response:
        return jsonify({"engine": settings().engine, "tools": [describe_tool(tool) for tool in served]})

    @blueprint.get("/")
    def get_front() -> Redirection:
        return redirect("/docs")

    @blueprint.get("/docs")
    def get_docs() -> Response:
        return Response(
            pages.TRY % pages.START,
            headers={"Content-Security-Policy": pages.POLICY},
            content_type="text/html; charset=utf-8",
        )

    @blueprint.get("/docs/problems")
    def get_problems() -> Response:
        return Response(
            "".join(pages.list_problems()),
            headers={"Content-Security-Policy": pages.STYLED},
            content_type="text/html; charset=utf-8",
        )

    @blueprint.get("/docs/<path:filename>")
    def get_asset(filename: str) -> Response:
        return send_from_directory(pages.ASSETS, filename)

    return blueprint


def describe(served: list[Tool], base: str) -> dict[str, Any]:
    """Write the whole document; `base` is where we are reached."""
    paths: dict[str, dict[str, Any]] = {}
    locked = settings().auth == "keys"
    for group, operation in every(served):
        paths.setdefault(operation.path, {})[operation.verb] = {"tags": [group], **operation.describe()}
    groups = {**{tool.name: tool.summary for tool in served}, **GROUPS}
    used = dict.fromkeys(group for group, _ in every(served))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Packshot", "version": VERSION, "description": ABOUT},
        "servers": [{"url": base}],
        "tags": [{"name": group, "description": groups[group]} for group in used],
        "paths": paths,
        "components": {
            "schemas": schemas.NAMED,
            "responses": {"Problem": operations.PROBLEM_RESPONSE},
            **({"securitySchemes": {"key": schemas.KEY}} if locked else {}),
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
    yield from (("jobs", operation) for operation in job_operations.of_jobs())
    yield from (("house", operation) for operation in job_operations.of_house())


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
