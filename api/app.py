"""The Flask app: one for all tools, or for those that PACKSHOT_TOOLS names."""

from flask import Flask

import journal
from api import (
    batches,
    callers,
    events,
    flows,
    health,
    hooks,
    jobs,
    manners,
    metrics,
    openapi,
    problems,
    templates,
    tools,
    training,
    uploads,
    usage,
    webhooks,
)
from api.listening import Listening
from api.streams import Streams
from api.waiting import Waiting
from settings import settings
from tools import catalog
from tools.contract import Tool
from tools.resolve_template import RESOLVE_TEMPLATE
from tools.train import TRAIN

#: Fields of a form, and bytes of those that are no files.
MOST_PARTS, LARGEST_FIELDS = 50, 500_000


def create_app() -> Flask:
    """Make the app."""
    journal.configure()
    app = Flask("api", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it; the seed's order is kept
    app.config["MAX_CONTENT_LENGTH"] = settings().max_upload_bytes
    app.config["MAX_FORM_PARTS"] = MOST_PARTS
    app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_FIELDS
    listening = Listening()
    app.extensions["waiting"] = Waiting(listening)
    app.extensions["streams"] = Streams(listening)
    problems.register(app)
    manners.register(app)
    callers.register(app)
    metrics.register(app)  # after that: a port of its own is open to whoever may read metrics
    served = serve_tools(app)
    for room in (jobs, flows, batches, events, webhooks, uploads, usage, health, hooks):
        app.register_blueprint(room.blueprint)
    app.register_blueprint(openapi.routes(served))
    return app


def serve_tools(app: Flask) -> list[Tool]:
    """Give each tool its routes."""
    named = [name.strip() for name in settings().packshot_tools.split(",") if name.strip()]
    served = [catalog.find(name) for name in named] or list(catalog.TOOLS.values())
    special = {TRAIN.name: training.blueprint, RESOLVE_TEMPLATE.name: templates.blueprint}
    for tool in served:
        app.register_blueprint(special[tool.name] if tool.name in special else tools.routes(tool))
    return served
