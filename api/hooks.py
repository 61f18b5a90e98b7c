"""What remotes tell us by themselves. It is a hint: the body is not even read."""

from uuid import UUID

from flask import Blueprint, Response

from db import runs
from tasks.metrics import WEBHOOKS
from tasks.remotes import hook
from tools.errors import NotFound

blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")


@blueprint.post("/runpod/<attempt_id>/<mark>")
def hear_runpod(attempt_id: str, mark: str) -> Response:
    """Have the job looked at now. Told twice, early, late or by a liar, it does no more than that, or nothing."""
    try:
        attempt = UUID(attempt_id)
    except ValueError:
        raise NotFound from None
    ours = hook.is_ours(attempt, mark)
    WEBHOOKS.labels("yes" if ours else "no").inc()
    if not ours:
        raise NotFound
    runs.call(attempt)
    return Response(status=200)
