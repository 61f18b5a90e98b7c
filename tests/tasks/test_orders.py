"""What somebody who reaches Redis cannot do to the workers; and what they log of what they do."""

import base64
import json
import pickle
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from redis import Redis

from api.app import create_app
from db import templates
from tasks import resolve_template
from tasks.app import ORDERS
from tests.conftest import PATIENCE_S, Processes
from tests.rig import app, nap
from tests.tasks.house import House, wait_for_end

CANARY = "canary in a prompt"


@pytest.fixture(scope="module")
def house(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - they must run
    processes = Processes(tmp_path_factory.mktemp("orders"))
    yield House(processes, gpus=1, parts=("main", "gpu"))
    processes.end()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def envelope(body: bytes, content_type: str, task: str = "tasks.nap") -> str:
    """Write a message as kombu does."""
    job_id = str(uuid4())
    headers = {"task": task, "id": job_id, "root_id": job_id, "lang": "py", "retries": 0}
    properties = {
        "correlation_id": job_id, "delivery_mode": 2, "delivery_tag": job_id, "body_encoding": "base64",
        "delivery_info": {"exchange": "main", "routing_key": "main"}, "priority": 0,
    }  # fmt: skip
    text = base64.b64encode(body).decode()
    return json.dumps({"body": text, "content-type": content_type, "content-encoding": "binary", "headers": headers,
                       "properties": properties})  # fmt: skip


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("open('/tmp/packshot-unpickled', 'w')",)


def test_a_pickle_in_the_queue_is_refused_and_the_worker_lives(house: House, redis: Redis) -> None:
    body = pickle.dumps(([], {"fate": Bomb()}, {}))
    for queue in ("main", "gpu"):
        redis.lpush(queue, envelope(body, "application/x-python-serialize"))
    wait_for_end(nap.delay().id)
    house.running["main"].wait_for(lambda: "untrusted content of type pickle" in house.running["main"].said())
    house.running["gpu"].wait_for(lambda: "untrusted content of type pickle" in house.running["gpu"].said())
    assert all(one.popen.poll() is None for one in house.running.values())


@pytest.mark.parametrize("args", [[str(uuid4())], ["'; DROP TABLE jobs; --"], [], [{"a": 1}]])
def test_a_forged_order_to_handle_does_nothing(house: House, redis: Redis, args: list[Any]) -> None:
    before = dict(house.written("began"))
    body = json.dumps([args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
    redis.lpush("gpu", envelope(body, "application/json", "tasks.handle"))
    done = nap.delay().id
    wait_for_end(done)
    assert len(house.written("began")) == len(before) + 1


def test_a_task_that_nobody_knows_is_dropped(house: House, redis: Redis) -> None:
    body = json.dumps([["x"], {}, {}]).encode()
    redis.lpush("main", envelope(body, "application/json", "os.system"))
    wait_for_end(nap.delay().id)
    house.running["main"].wait_for(lambda: "unregistered task" in house.running["main"].said())


def test_no_order_from_redis_stops_or_changes_a_worker(house: House) -> None:
    for order in ORDERS:
        app.control.broadcast(order, arguments={"n": 1}, reply=True, timeout=0.2)
    wait_for_end(nap.delay().id)
    assert all(one.popen.poll() is None for one in house.running.values())
    assert len(app.control.ping(timeout=1.0) or []) == 2  # Flower may still look on


def test_prompts_are_in_no_line(house: House) -> None:
    template = templates.create("t", f"{CANARY} trigger_keyword", None)["id"]
    sent = resolve_template.delay(template_id=template, trigger_word="TOK")
    assert sent.get(timeout=PATIENCE_S)["resolved_prompt"] == f"{CANARY} TOK"
    house.running["main"].wait_for(lambda: f"[{sent.id}] succeeded" in house.running["main"].said())
    assert CANARY not in house.running["main"].said()


def test_the_ids_of_a_request_lead_to_its_handler(house: House) -> None:
    client: FlaskClient = create_app().test_client()
    request_id = f"request-{uuid4()}"
    steps = [{"id": "a", "tool": "nap"}, {"id": "b", "tool": "nap", "after": ["a"]}]
    made = client.post("/api/flows", json={"steps": steps}, headers={"X-Request-Id": request_id}).get_json()
    flow = client.get(f"/api/flows/{made['flow_id']}?wait=30").get_json()
    assert flow["status"] == "completed"
    jobs = {step["jobs"][0]["job_id"] for step in flow["steps"]}
    for name, event in (("main", "attempt begun"), ("gpu", "handler begins"), ("gpu", "handler ended")):
        lines = [line for line in house.running[name].said().splitlines() if event in line and request_id in line]
        found = {re.findall(r"job_id=(\S+)", line)[0] for line in lines}
        assert found == jobs, (event, lines)
        assert all(f"flow_id={made['flow_id']}" in line and "attempt_id=" in line for line in lines)
