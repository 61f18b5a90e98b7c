"""What was promised before anything runs: routes, parameters, defaults, and the body of a 202."""

import re
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from settings import settings
from tests.api import seed
from tests.api.seed import promised, shape
from tests.deploy.compose import services
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


#: The seed's services: what `docker-compose.yml` tells each at its port, and by what its addresses are known.
SERVICES = {
    5001: ("train", ("/api/models", "/api/train")), 5002: ("generate", ("/api/generate", "/api/images")),
    5003: ("resolve_template", ("/api/templates",)), 5004: ("mask", ("/api/mask",)),
    5005: ("inpaint", ("/api/inpaint",)), 5006: ("video", ("/api/video",)),
}  # fmt: skip

#: In place of what an address leaves open: names of nothing.
NOTHING = {"template_id": str(uuid4()), "job_id": str(uuid4()), "model_id": "999999999", "filename": f"{uuid4()}.png"}


@pytest.mark.parametrize("port", SERVICES)
def test_each_service_of_the_split_answers_at_its_own_addresses_alone(
    port: int, monkeypatch: pytest.MonkeyPatch, database: str  # noqa: ARG001 - it must run
) -> None:  # fmt: skip
    (service,) = [one for one in services("split").values() if f":{port}:" in str(one.get("ports"))]
    tool, paths = SERVICES[port]
    monkeypatch.setenv("PACKSHOT_TOOLS", f" {service['environment']['PACKSHOT_TOOLS']} ")
    settings.cache_clear()
    try:
        app = create_app()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    client = app.test_client()
    theirs = {route for route in seed.ROUTES if route[1].startswith(paths)}
    assert {route for route in seed.ROUTES if is_answered(client, *route)} == theirs == list_routes(app) & seed.ROUTES
    assert [one["name"] for one in client.get("/api/tools").get_json()["tools"]] == [tool]
    described = set(client.get("/openapi.json").get_json()["paths"])
    assert described & {as_described(path) for _, path in seed.ROUTES} == {as_described(path) for _, path in theirs}
    assert described >= {"/api/jobs", "/ready"}


def is_answered(client: FlaskClient, verb: str, path: str) -> bool:
    """Ask with nothing in hand: whoever serves an address says what is missing, and others that there is none such."""
    asked = re.sub(r"<(\w+)>", lambda left_open: NOTHING[left_open[1]], path)
    answer = client.open(asked, method=verb, json={} if verb == "POST" else None)
    assert answer.status_code in {200, 404, 422}
    return answer.status_code != 404 or answer.get_json()["code"] != "not_found"


def as_described(path: str) -> str:
    return path.replace("<", "{").replace(">", "}")
