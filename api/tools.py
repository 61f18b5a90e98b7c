"""The routes of every tool that leaves a file for people: sync, async, poll, and the file."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify

from api import files, submitting
from api.bodies import read_json
from api.preferences import read_preference
from db import pages
from settings import settings
from tools.contract import Tool
from tools.errors import JobNotFound


def routes(tool: Tool) -> Blueprint:
    """Make the routes of one tool."""
    blueprint = Blueprint(tool.name, __name__, url_prefix="/api")

    def run(default_s: float) -> Response:
        given = read_json()
        preference = read_preference(default_s)
        job_id, replayed = submitting.submit(tool, given, awaited=preference.wait_s > 0)
        return submitting.answer(job_id, preference, replayed=replayed)

    @blueprint.post(f"/{tool.name}")
    def run_sync() -> Response:
        return run(settings().sync_wait_s)

    @blueprint.post(f"/{tool.name}/async")
    def run_async() -> Response:
        return run(0)

    @blueprint.get(f"/{tool.name}/<job_id>")
    def poll(job_id: str) -> Response:
        return show_job(job_id, tool.name)

    @blueprint.get(f"/{tool.files}/<filename>")
    def serve(filename: str) -> Response:
        return files.serve(filename, tool)

    return blueprint


def show_job(job_id: str, tool: str | None = None, wait_s: float = 0) -> Response:
    """Show a job."""
    parsed = read_id(job_id)
    job: dict[str, Any] = pages.read(parsed, tool)
    if wait_s > 0:
        job = submitting.waiting().wait(parsed, wait_s)
    return jsonify(job)


def read_id(job_id: str) -> UUID:
    """Read a job's id. Raises JobNotFound: what is no id names no job."""
    try:
        return UUID(job_id)
    except ValueError:
        raise JobNotFound from None
