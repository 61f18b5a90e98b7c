"""What was promised before anything runs: routes, parameters, defaults, and the body of a 202."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from settings import settings
from tests.api import seed
from tests.api.asking import assert_problem
from tests.api.seed import promised, shape
from tools import catalog


def list_routes(app: Flask) -> set[tuple[str, str]]:
    return {(verb, str(rule)) for rule in app.url_map.iter_rules() for verb in rule.methods or ()}


def test_every_promised_route_is_there(app: Flask) -> None:
    assert list_routes(app) >= seed.ROUTES


@pytest.mark.parametrize("name", seed.PARAMETERS)
def test_parameters_and_defaults_are_the_promised_ones(client: FlaskClient, name: str) -> None:
    tool = next(tool for tool in client.get("/api/tools").get_json()["tools"] if tool["name"] == name)
    schemas, required = tool["params"]["properties"], set(tool["params"]["required"])
    found = {
        key: (type_of(schema), seed.REQUIRED if key in required else schema["default"])
        for key, schema in schemas.items()
    }
    added = seed.ADDED.get(name, set())
    assert {key: value for key, value in found.items() if key not in added} == seed.PARAMETERS[name]
    assert added.isdisjoint(required)
    assert all(schema["description"] for schema in schemas.values())


def type_of(schema: dict[str, Any]) -> str:
    """Give the type of a field; `X | None` counts as X."""
    return next(str(arm["type"]) for arm in schema.get("anyOf", [schema]) if arm["type"] != "null")


def test_the_training_config_is_what_training_takes_when_nothing_is_given(client: FlaskClient) -> None:
    config = client.get("/api/training-config").get_json()
    assert list(config) == ["steps", "lr", "lora_rank", "batch_size", "resolution"]
    whole = catalog.find("train").check({"images": "r2://", "model_name": "n", "trigger_word": "T", **config})
    assert whole == catalog.find("train").check({"images": "r2://", "model_name": "n", "trigger_word": "T"})


def test_an_async_call_answers_with_the_promised_two(client: FlaskClient, picture: str) -> None:
    for path, asked in (
        ("mask", {"image_url": picture, "object_name": "bag"}),
        ("inpaint", {"scene_url": picture, "reference_url": picture}),
        ("video", {"image_url": picture}),
    ):
        answer = client.post(f"/api/{path}/async", json=asked)
        assert answer.status_code == 202
        assert shape(answer.get_json()) == promised(seed.ACCEPTED)
        assert answer.get_json()["status"] == "pending"
        job_id = answer.get_json()["job_id"]
        assert (answer.headers["Location"], answer.headers["X-Job-Id"]) == (f"/api/jobs/{job_id}", job_id)
        polled = client.get(f"/api/{path}/{job_id}").get_json()
        assert list(polled)[:3] == ["job_id", "status", "result"]
        assert (polled["status"], polled["result"]) == ("pending", None)
        assert polled["input"] == asked
        assert isinstance(polled["params"]["seed"], int)


def test_one_api_can_serve_one_tool(monkeypatch: pytest.MonkeyPatch, database: str) -> None:  # noqa: ARG001 - it must run
    monkeypatch.setenv("PACKSHOT_TOOLS", " mask ")
    settings.cache_clear()
    try:
        app = create_app()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    theirs = {route for route in seed.ROUTES if "/mask" in route[1]}
    assert list_routes(app) & seed.ROUTES == theirs
    client = app.test_client()
    assert [tool["name"] for tool in client.get("/api/tools").get_json()["tools"]] == ["mask"]
    assert_problem(client.post("/api/generate", json={}), 404, "not_found")
    assert set(client.get("/openapi.json").get_json()["paths"]) >= {"/api/mask", "/api/jobs", "/ready"}
    assert "/api/generate" not in client.get("/openapi.json").get_json()["paths"]
