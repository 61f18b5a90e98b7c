"""What Flower shows of our tasks: names and addresses, and neither prompts nor secrets."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import chain
from redis import Redis
from sqlalchemy import text

from db import intake, pages
from db.base import transaction
from db.intake import Asked
from settings import settings
from tasks import answers, brief, ending, watch
from tasks.app import sender
from tests import rig
from tests.conftest import renew_celery
from tests.db import rows

SECRET = "https://bucket.example/a.png?X-Amz-Signature=abcdef"
PROMPT = "a very confidential handbag on a marble table"


@pytest.fixture
def redis(database: str, redis_url: str) -> Iterator[Redis]:  # noqa: ARG001 - it must run
    """Reach queues that nobody reads."""
    renew_celery()
    with Redis.from_url(redis_url) as client:
        client.delete("main", "gpu")
        yield client
        client.delete("main", "gpu")
    with transaction() as session:
        session.execute(text("TRUNCATE jobs CASCADE"))
    settings.cache_clear()


def headers(redis: Redis, queue: str = "main") -> dict[str, Any]:
    """Read what the next message says of itself: events, and so Flower, repeat it."""
    message: Any = redis.lindex(queue, -1)
    found: dict[str, Any] = json.loads(message)["headers"]
    return found


def test_a_canvas_shows_no_prompt_and_no_signed_address(redis: Redis) -> None:
    given = {"image_url": SECRET, "object_name": "bag", "mask_blur": 9}
    first = rig.app.tasks["tasks.mask"].s(**given)
    chain(first, rig.app.tasks["tasks.noop"].s(word=PROMPT)).apply_async()
    said = headers(redis)
    assert said["task"] == "tasks.mask"
    assert said["argsrepr"] == f"(/api/jobs/{said['id']})"
    assert said["kwargsrepr"] == "{image_url=https://bucket.example/…, object_name=bag, mask_blur=9}"
    assert brief.shown([{"job_id": "j", "prompt": PROMPT}, [1, 2, 3, 4]], {"prompt": PROMPT}, "t") == {
        "argsrepr": "(/api/jobs/t, result of j, [1, 2, 3, …])",
        "kwargsrepr": "{prompt=a very confidential hand…}",
    }


def nest(depth: int) -> Any:
    return [nest(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "given", ["https://[bad", "https://a\u2100b.example/x.png", 10**5000, nest(900)],
    ids=["an open bracket", "a host that is another", "more digits than Python writes", "very deep"],
)  # fmt: skip
def test_what_cannot_be_shown_is_left_out_and_stops_nothing(given: Any) -> None:
    said = brief.shown([given], {"image_url": given, "seed": 7}, "t")
    assert "…" in said["argsrepr"]
    assert "…" in said["kwargsrepr"]
    assert said["kwargsrepr"].endswith(", seed=7}")


def test_a_task_leads_to_its_job_and_a_job_to_its_task(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://packshot.example/")
    monkeypatch.setenv("FLOWER_URL", "https://flower.example/")
    settings.cache_clear()
    asked = Asked(uuid4(), rig.NAP, {}, {"seconds": 0.0, "fate": "", "seed": 1}, 1)
    intake.accept(asked)
    assert sender.send(asked.id, "nap", None)
    assert headers(redis)["argsrepr"] == f"(https://packshot.example/api/jobs/{asked.id})"
    rows.start(asked.id)
    answers.submit(rows.job(asked.id))
    handled = headers(redis, "gpu")
    assert handled["kwargsrepr"] == "{tool=nap}"
    assert handled["argsrepr"] == f"https://packshot.example/api/jobs/{asked.id}"  # its own id is the attempt's
    assert pages.read(UUID(headers(redis)["id"]))["urls"]["task"] == f"https://flower.example/task/{asked.id}"


def test_what_http_was_told_is_shown_as_what_python_told(redis: Redis) -> None:
    given = {"seconds": 0.0, "fate": PROMPT}
    asked = Asked(uuid4(), rig.NAP, given, {**given, "seed": 1}, 1)
    intake.accept(asked)
    assert sender.send(asked.id, "nap", None, given=given)
    shown = "{seconds=0.0, fate=a very confidential hand…}"
    assert headers(redis)["kwargsrepr"] == shown
    for send, queue in ((watch.send, "main"), (ending.send, "resume")):
        redis.delete(queue)
        send(rows.job(asked.id))
        assert headers(redis, queue)["kwargsrepr"] == shown
    redis.delete("resume")
