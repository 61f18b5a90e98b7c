"""The API describes itself: truly, wholly, and in a form that clients can use."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api.asking import assert_problem
from tools import errors

#: Routes that show the description; they need none of their own.
SHOWN = {"/", "/openapi.json", "/docs", "/docs/problems", "/docs/<path:filename>"}

NOBODY = "00000000-0000-4000-8000-000000000000"

#: What an example may be refused for: a model, a template or an address that is not there.
ELSEWHERE = {"model_not_found", "template_not_found", "url_blocked", "bad_archive"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    return dict(client.get("/openapi.json").get_json())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb, operation


def test_every_route_is_described_and_every_description_has_a_route(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule)), verb.lower())
        for rule in app.url_map.iter_rules()
        for verb in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if str(rule) not in SHOWN
    }
    assert {(path, verb) for path, verb, _ in operations(document)} == served


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    assert all(server["url"].startswith("http://") for server in document["servers"])
    for path, verb, operation in operations(document):
        named = re.findall(r"{(\w+)}", path)
        assert [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"] == named
        assert all({"name", "in", "schema"} <= set(one) for one in operation.get("parameters", []))
        assert all(re.fullmatch(r"\d{3}|default", status) for status in operation["responses"])
        assert all(answer.get("description") or answer["$ref"] for answer in operation["responses"].values())
        assert ("requestBody" in operation) <= (verb in {"post", "put", "patch"})
        assert operation["summary"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for reference in found:
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert isinstance(target, dict)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_operation_ids_are_words_of_a_program_and_all_different(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in names)


def test_json_comes_first_among_media_types(document: dict[str, Any]) -> None:
    bodies = [operation["requestBody"] for _, _, operation in operations(document) if "requestBody" in operation]
    assert any(len(body["content"]) > 1 for body in bodies)
    assert all(next(iter(body["content"])) == "application/json" for body in bodies if len(body["content"]) > 1)


def test_the_example_of_a_body_is_taken(document: dict[str, Any], app: Flask, picture: str) -> None:
    """What stands in the page's box can be sent as it stands, but for what only the house of its reader has."""
    shown = {
        operation["operationId"]: (path, body["content"]["application/json"]["example"])
        for path, _, operation in operations(document)
        if (body := operation.get("requestBody")) and "example" in body["content"].get("application/json", {})
    }
    assert set(shown) >= {"train", "generate", "mask_async", "inpaint", "video", "create_template", "resolve_template",
                          "create_flow", "create_batch", "create_webhook"}  # fmt: skip
    for path, body in shown.values():
        sent = {name: picture if str(value).startswith("https://") else value for name, value in body.items()}
        where = path.replace("{template_id}", NOBODY)
        answer = app.test_client().post(where, json=sent, headers={"Prefer": "respond-async"})
        assert answer.status_code in {200, 201, 202} or answer.get_json()["code"] in ELSEWHERE, (path, answer.text)


def test_each_group_says_what_it_is_for(document: dict[str, Any]) -> None:
    told = {group["name"]: group["description"] for group in document["tags"]}
    assert list(told) == list(dict.fromkeys(name for _, _, one in operations(document) for name in one["tags"]))
    assert all(told.values())


def test_every_failure_is_a_problem_document(document: dict[str, Any], client: FlaskClient) -> None:
    for _, _, operation in operations(document):
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
    schema = document["components"]["schemas"]["Problem"]
    problem = assert_problem(client.post("/api/generate", json={}), 422, "missing_input")
    assert set(problem) <= set(schema["properties"])
    assert set(schema["required"]) <= set(problem)


def test_a_job_is_what_its_schema_says(document: dict[str, Any], client: FlaskClient) -> None:
    schema = document["components"]["schemas"]["Job"]
    job = client.get("/api/jobs/" + client.post("/api/nap/async", json={}).get_json()["job_id"]).get_json()
    assert set(schema["properties"]) <= set(job)
    assert job["status"] in schema["properties"]["status"]["enum"]


def test_the_docs_load_nothing_from_afar(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.content_type.startswith("text/html")
    assert "://" not in page.text
    assert "validatorUrl: null" in page.text
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 2
    for path in [*named, "/openapi.json"]:
        with client.get(path) as asset:
            assert (asset.status_code, len(asset.data) > 1000) == (200, True)


def test_the_type_of_a_problem_leads_to_its_sentence(client: FlaskClient) -> None:
    path, _, code = client.get("/api/models/7777").get_json()["type"].partition("#")
    page = client.get(path)
    assert page.status_code == 200
    assert f'id="{code}"' in page.text
    assert "&lt;id&gt;" in page.text


def test_the_front_leads_to_the_docs(client: FlaskClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")


def test_tools_show_what_they_take_and_give(client: FlaskClient) -> None:
    answer = client.get("/api/tools").get_json()
    tools = {tool["name"]: tool for tool in answer["tools"]}
    assert answer["engine"] == "preview"
    assert set(tools) >= {"train", "resolve_template", "generate", "mask", "inpaint", "video"}
    assert tools["generate"]["takes"] == {"model_id": "lora", "prompt": "prompt"}
    assert tools["generate"]["gives"] == {"r2_path": "image"}
    assert tools["generate"]["params"]["properties"]["model_id"]["x-kind"] == "lora"
    assert "$ref" not in str(answer)


def test_every_submit_tells_of_its_deadlines(document: dict[str, Any]) -> None:
    for tool, most in {"generate": 600, "mask": 300, "inpaint": 600, "video": 1200, "train": 7200}.items():
        for path in [f"/api/{tool}", f"/api/{tool}/async"][: 1 if tool == "train" else 2]:
            for body in document["paths"][path]["post"]["requestBody"]["content"].values():
                known = body["schema"]["properties"]
                assert known["timeout_seconds"]["anyOf"][0] == {"type": "integer", "minimum": 5, "maximum": most}
                assert known["start_within_seconds"]["anyOf"][0]["maximum"] == 24 * 3600
                assert "expired" in known["start_within_seconds"]["description"]
                assert not {"timeout_seconds", "start_within_seconds"} & set(body["schema"]["required"])
        shown = str(document["paths"][f"/api/{tool}"]["post"]["responses"])
        assert "timeout_seconds" not in shown


def test_the_page_of_problems_has_a_place_for_each(client: FlaskClient) -> None:
    page = client.get("/docs/problems").get_data(as_text=True)
    assert all(f'<dt id="{error.code}">' in page for error in errors.every())
    assert "<code>packshot keys create</code>" in page
    assert "`" not in page
