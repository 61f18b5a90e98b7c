"""What a test sends to the API, and what it holds of the answers."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from PIL import Image
from sqlalchemy import event, func, select
from werkzeug.test import TestResponse

from db import base
from db.base import transaction
from db.jobs import Job
from embedded.ports import any_free
from tests.conftest import Processes

PHOTOS = sorted((Path(__file__).parents[2] / "embedded" / "photos").glob("*.png"))

SENTENCE = re.compile(r"\S.{10,}[.?!]", re.DOTALL)

PATIENCE_S = 60


def paint(size: tuple[int, int] = (64, 48), colour: str = "teal") -> bytes:
    """Make a PNG."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def count_jobs() -> int:
    """Count the jobs that there are."""
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def assert_problem(answer: TestResponse | requests.Response, status: int, code: str) -> dict[str, Any]:
    """Hold an answer to be a problem document, with a sentence; give it."""
    body = dict(answer.json() if isinstance(answer, requests.Response) else answer.get_json())
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["success"] is False
    assert SENTENCE.fullmatch(body["detail"]), body
    assert isinstance(body["retryable"], bool)
    assert body["type"].startswith("/docs/problems#")
    assert answer.headers["X-Request-Id"]
    return body


def serve(
    starter: Processes,
    env: Mapping[str, str] | None = None,
    app: str = "tests.api.served",
    port: int | None = None,
    options: Sequence[str] = (),
) -> str:
    """Start gunicorn as it runs in earnest, and wait until it answers; give where it is reached."""
    port = port or any_free(set())
    gunicorn = starter.start(
        "gunicorn", f"{app}:create_app()", "-k", "api.reception.Reception", "--threads", "120",
        "-b", f"127.0.0.1:{port}", *options, env=env,
    )  # fmt: skip
    gunicorn.wait_for(lambda: "Booting worker" in gunicorn.said())
    url = f"http://127.0.0.1:{port}"
    assert requests.get(f"{url}/health", timeout=PATIENCE_S).status_code == 200
    return url


def post(url: str, json: Any, **headers: str) -> requests.Response:
    """Send JSON; a header `Idempotency_Key` is `Idempotency-Key`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(url, json=json, headers=named, timeout=PATIENCE_S)


def get(url: str, **headers: str) -> requests.Response:
    """Ask."""
    return requests.get(url, headers=headers, timeout=PATIENCE_S)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the statements that go to the database meanwhile."""
    said: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    for engine in (base.engine(), base.quick()):
        event.listen(engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        for engine in (base.engine(), base.quick()):
            event.remove(engine, "before_cursor_execute", hear)
