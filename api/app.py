"""The Flask app: one for all tools, or for those that PACKSHOT_TOOLS names."""

import logging
import re
from uuid import uuid4

from flask import Flask, Response, request

from api import (
    batches,
    flows,
    health,
    hooks,
    jobs,
    metrics,
    openapi,
    problems,
    templates,
    tools,
    training,
    uploads,
    usage,
)
from api.waiting import Waiting
from settings import settings
from tools import catalog
from tools.contract import Tool
from tools.resolve_template import RESOLVE_TEMPLATE
from tools.train import TRAIN

#: Fields of a form, and bytes of those that are no files.
MOST_PARTS, LARGEST_FIELDS = 50, 500_000

#: Request ids that we take over: what cannot break a header or a line of a log.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


def create_app() -> Flask:
    """Make the app."""
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(message)s")
    app = Flask("api", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it; the seed's order is kept
    app.config["MAX_CONTENT_LENGTH"] = settings().max_upload_bytes
    app.config["MAX_FORM_PARTS"] = MOST_PARTS
    app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_FIELDS
    app.extensions["waiting"] = Waiting()
    problems.register(app)
    metrics.register(app)
    served = serve_tools(app)
    for room in (jobs, flows, batches, uploads, usage, health, hooks):
        app.register_blueprint(room.blueprint)
    app.register_blueprint(openapi.routes(served))
    app.after_request(finish)
    return app


def serve_tools(app: Flask) -> list[Tool]:
    """Give each tool its routes."""
    named = [name.strip() for name in settings().packshot_tools.split(",") if name.strip()]
    served = [catalog.find(name) for name in named] or list(catalog.TOOLS.values())
    special = {TRAIN.name: training.blueprint, RESOLVE_TEMPLATE.name: templates.blueprint}
    for tool in served:
        app.register_blueprint(special[tool.name] if tool.name in special else tools.routes(tool))
    return served


def finish(response: Response) -> Response:
    """Give every answer a request id, the caller's if it sent one."""
    sent = request.headers.get("X-Request-Id", "")
    response.headers["X-Request-Id"] = sent if REQUEST_ID.fullmatch(sent) else uuid4().hex
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
