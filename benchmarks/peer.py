"""The bare peer: what anybody writes with Flask and Celery in a minute, on the same broker."""

import os
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.result import AsyncResult
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

#: Another database of the same server, so that the two do not take each other's messages.
URL = urlsplit(os.environ["REDIS_URL"])._replace(path="/1").geturl()

celery = Celery("benchmarks.peer", broker=URL, backend=URL, set_as_current=False)


@celery.task(name="peer.nothing")
def nothing(*_: Any, **given: Any) -> dict[str, Any]:
    """Do nothing."""
    return {"success": True, "given": given}


def create_app() -> Flask:
    """Make the app: one route that submits, one that polls."""
    app = Flask("peer")

    @app.post("/api/nap/async")
    def submit() -> ResponseReturnValue:
        sent = nothing.delay(**request.get_json())
        return jsonify({"job_id": sent.id, "status": "pending"}), 202

    @app.get("/api/jobs/<job_id>")
    def poll(job_id: str) -> ResponseReturnValue:
        found: AsyncResult[Any] = AsyncResult(job_id, app=celery)
        return jsonify({"job_id": job_id, "status": found.state, "result": found.result if found.ready() else None})

    return app
