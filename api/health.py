"""Are we alive, and is all that we need there?"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any

from flask import Blueprint, Response, jsonify

from db import watchers
from db.base import transaction
from storage.bucket import bucket
from tasks.app import app
from tools.errors import ToolError

logger = logging.getLogger(__name__)

blueprint = Blueprint("health", __name__)

#: Seconds that the checks have: a bucket that is stalled would hold up whoever asks for much longer.
CHECK_S = 5.0

#: Those that hang are waited for here, and never by more threads than these.
inspectors = ThreadPoolExecutor(10, "ready")

#: The checks that are being made, and who may begin some.
under_way: Future[dict[str, str]] | None = None
beginning = Lock()


@blueprint.get("/health")
def get_health() -> Response:
    """Say that this process answers."""
    return jsonify({"status": "ok"})


@blueprint.get("/ready")
def get_ready() -> tuple[Response, int]:
    """Name what was checked, and how it is."""
    checks = look()
    ready = all(seen == "ok" for seen in checks.values())
    return jsonify({"status": "ready" if ready else "not ready", "checks": checks}), 200 if ready else 503


def look() -> dict[str, str]:
    """Make all checks, or wait for those that somebody else's question has begun: a crowd costs no more than one."""
    global under_way  # noqa: PLW0603 - one at a time in this process
    with beginning:
        mine, shared = under_way is None, under_way or Future()
        under_way = shared
    if mine:
        try:
            shared.set_result(inspect_all())
        finally:
            under_way = None
    return shared.result(2 * CHECK_S)


def inspect_all() -> dict[str, str]:
    """Make all checks at once; whatever says nothing in time is not there."""
    asked = {name: inspectors.submit(inspect, check) for name, check in CHECKS.items()}
    wait(asked.values(), CHECK_S)
    return {name: one.result() if one.done() else f"no answer in {CHECK_S:g} s" for name, one in asked.items()}


def inspect(check: Callable[[], str]) -> str:
    """Make one check; what it says is "ok", or what is wrong."""
    try:
        return check()
    except ToolError as error:
        return str(error)
    except Exception as error:  # whatever a check dies of is what it has found
        logger.warning("not ready", exc_info=error)
        return f"{type(error).__name__}: our log says more"  # anybody may ask, and its text names hosts


def check_database() -> str:
    """Open a transaction."""
    with transaction() as session:
        session.connection()
    return "ok"


def check_broker() -> str:
    """Ask Redis for a sign of life."""
    backend().client.ping()
    return "ok"


def check_bucket() -> str:
    """Ask for the bucket."""
    bucket().ping()
    return "ok"


def backend() -> Any:
    """Give Celery's way to Redis; its stubs know no Redis."""
    return app.backend


def check_migrations() -> str:
    """Compare the database's schema with the code's."""
    from db import schema  # noqa: PLC0415 - Alembic costs a quarter of a second, which the start need not pay

    return "ok" if schema.current() else "run packshot migrate: the database's tables are not those of this version"


def check_watcher() -> str:
    """Look for a watcher's heartbeat."""
    return "ok" if watchers.count() else "run packshot watch: no watcher was seen for half a minute"


CHECKS = {
    "database": check_database,
    "broker": check_broker,
    "bucket": check_bucket,
    "migrations": check_migrations,
    "watcher": check_watcher,
}
