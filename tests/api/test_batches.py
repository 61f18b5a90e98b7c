"""Batches over HTTP: one tool, many jobs, counted, and each with its own end."""

from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from tests.api.asking import assert_problem
from tests.conftest import Processes
from tests.tasks.house import House

PATIENCE_S = 120


@pytest.fixture(scope="module")
def house(starter: Processes) -> House:
    return House(starter, parts=("main", "watch"))


def run(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/batches", json=body)
    assert (answer.status_code, list(answer.get_json())) == (202, ["batch_id", "status"]), answer.get_json()
    assert answer.headers["Location"] == f"/api/batches/{answer.get_json()['batch_id']}"
    return dict(client.get(f"{answer.headers['Location']}?wait={PATIENCE_S}").get_json())


def test_each_item_is_a_job_with_its_own_end(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    batch = run(client, tool="noop", base={"word": "x"}, items=[{"n": 1}, {"fails": True}, {"word": "y"}])
    assert batch["status"] == "completed"
    assert batch["counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert [item["result"] and item["result"]["word"] for item in batch["items"]] == ["x", None, "y"]
    assert [item["error"] and item["error"]["code"] for item in batch["items"]] == [None, "object_not_found", None]
    assert client.get(f"/api/jobs/{batch['items'][0]['job_id']}").get_json()["params"]["n"] == 1


def test_a_matrix_makes_a_job_of_each_combination(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    batch = run(client, tool="noop", matrix={"word": ["a", "b"], "n": [1, 2]})
    assert [(item["params"]["word"], item["params"]["n"]) for item in batch["items"]] == [
        ("a", 1), ("a", 2), ("b", 1), ("b", 2),
    ]  # fmt: skip


def test_a_wrong_item_is_named_and_nothing_is_made(client: FlaskClient, no_new_job: None) -> None:  # noqa: ARG001 - it looks
    wrong = {"tool": "noop", "items": [{"n": 1}, {"n": -1}, {"nn": 1}]}
    problem = assert_problem(client.post("/api/batches", json=wrong), 422, "invalid_input")
    assert [error["pointer"] for error in problem["errors"]] == ["/items/1/n", "/items/2/nn"]
    missing = {"tool": "video", "items": [{"image_url": "r2://packshot/uploads/none.png"}]}
    problem = assert_problem(client.post("/api/batches", json=missing), 404, "file_not_found")
    assert problem["errors"][0]["pointer"] == "/items/0/image_url"
    large = {"n": list(range(40)), "word": [str(n) for n in range(40)]}
    wrong_ways: list[dict[str, Any]] = [
        {"tool": "noop"}, {"tool": "noop", "items": [{}], "matrix": {"n": [1]}}, {"tool": "nope", "items": [{}]},
        {"tool": "noop", "items": []}, {"tool": "noop", "matrix": {"n": []}}, {"tool": "noop", "matrix": large},
    ]  # fmt: skip
    for body in wrong_ways:
        assert_problem(client.post("/api/batches", json=body), 422, "invalid_input")


def test_what_is_left_of_a_batch_is_cancelled(client: FlaskClient) -> None:
    batch_id = client.post("/api/batches", json={"tool": "nap", "items": [{"seconds": 60}] * 3}).get_json()["batch_id"]
    batch = client.post(f"/api/batches/{batch_id}/cancel").get_json()
    assert (batch["status"], batch["counts"]) == ("cancelled", {"total": 3, "cancelled": 3})
    assert client.get("/api/batches?status=cancelled&limit=1").get_json()["data"][0]["batch_id"] == batch_id
    for path in (f"/api/batches/{uuid4()}", f"/api/flows/{batch_id}"):
        assert_problem(client.get(path), 404, "flow_not_found")


def test_a_key_makes_one_batch(client: FlaskClient) -> None:
    body, key = {"tool": "nap", "items": [{}]}, {"Idempotency-Key": str(uuid4())}
    first, again = (client.post("/api/batches", json=body, headers=key) for _ in range(2))
    assert first.get_json()["batch_id"] == again.get_json()["batch_id"]
