"""What cannot be taken is refused with a sentence, whatever the route; nothing is made of it."""

import io
from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID

import pytest
import requests
from flask.testing import FlaskClient

from tests.api.asking import PATIENCE_S, assert_problem

pytestmark = pytest.mark.usefixtures("no_new_job")

SUBMITS = ["/api/generate", "/api/generate/async", "/api/mask", "/api/inpaint/async", "/api/video/async", "/api/train"]
JSON_POSTS = [*SUBMITS, "/api/templates", "/api/templates/00000000-0000-0000-0000-000000000000/resolve"]

WHOLE: dict[str, dict[str, Any]] = {
    "generate": {"model_id": 1, "prompt": "a bag"},
    "mask": {"image_url": "r2://packshot/uploads/a.png", "object_name": "bag"},
    "inpaint": {"scene_url": "r2://packshot/uploads/a.png", "reference_url": "r2://packshot/uploads/a.png"},
    "video": {"image_url": "r2://packshot/uploads/a.png"},
    "train": {"images": "r2://packshot/uploads/a.zip", "model_name": "Bag", "trigger_word": "TOK_BAG"},
}

UNREADABLE: dict[str, tuple[bytes, int, str, str]] = {
    "empty": (b"", 400, "bad_request", "empty"),
    "blank": (b" \n", 400, "bad_request", "empty"),
    "BOM": (b"\xef\xbb\xbf{}", 400, "bad_request", "BOM"),
    "utf-16": ('{"prompt": "x"}'.encode("utf-16"), 400, "bad_request", "UTF-8"),
    "half a body": (b'{"prompt": ', 400, "bad_request", "not JSON"),
    "a list": (b"[]", 400, "bad_request", "object"),
    "NaN": (b'{"prompt": NaN}', 400, "bad_request", "NaN"),
    "Infinity": (b'{"prompt": -Infinity}', 400, "bad_request", "Infinity"),
    "1e999": (b'{"prompt": 1e999}', 422, "invalid_input", "finite"),
    "NUL": (rb'{"prompt": "a\u0000b"}', 422, "invalid_input", "NUL"),
    "half a surrogate pair": (rb'{"prompt": "\ud800"}', 422, "invalid_input", "surrogate"),
    "the same in a key": (rb'{"\ud800": 1}', 422, "invalid_input", "surrogate"),
    "a key twice": (b'{"prompt": "a", "prompt": "b"}', 400, "bad_request", "twice"),
    "5,000 digits": (b'{"seed": ' + b"9" * 5000 + b"}", 422, "invalid_input", "5000 digits"),
    "400 digits": (b'{"seed": ' + b"9" * 400 + b"}", 422, "invalid_input", "too large"),
    "100,000 brackets": (b"[" * 100_000, 400, "bad_request", "deep"),
    "300 levels": (b'{"prompt": ' + b"[" * 300 + b"]" * 300 + b"}", 422, "invalid_input", "deep"),
    "900 levels": (b'{"prompt": ' + b"[" * 900 + b"]" * 900 + b"}", 422, "invalid_input", "deep"),
    "300 kB": (b'{"prompt": "' + b"x" * 300_000 + b'"}', 413, "too_large", "256 kB"),
}  # fmt: skip


@pytest.mark.parametrize("path", JSON_POSTS)
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused(client: FlaskClient, path: str, case: str) -> None:
    body, status, code, word = UNREADABLE[case]
    for headers in ({}, {"Idempotency-Key": f"unreadable {case} {path}"}):
        answer = client.post(path, data=body, content_type="application/json", headers=headers)
        assert word in assert_problem(answer, status, code)["detail"]


@pytest.mark.parametrize("path", JSON_POSTS)
@pytest.mark.parametrize("sent", ["text/plain", "application/x-www-form-urlencoded", None])
def test_another_content_type_is_refused(client: FlaskClient, path: str, sent: str | None) -> None:
    problem = assert_problem(client.post(path, data=b"a=b", content_type=sent), 415, "unsupported_content_type")
    assert "application/json" in problem["detail"]


def test_a_json_of_50_megabytes_is_not_read(site: str) -> None:
    head = b'{"prompt": "'
    whole, chunked = head + b"x" * 50_000_000, iter([head, *[b"x" * 50_000] * 20])
    for body in (whole, chunked):
        answer = requests.post(
            f"{site}/api/generate", data=body, headers={"Content-Type": "application/json"}, timeout=PATIENCE_S
        )
        assert_problem(answer, 413, "too_large")


WRONG = [
    ("generate", {"promt": "a bag"}, "unknown_field", "Did you mean prompt"),
    ("generate", {"steps": 25}, "unknown_field", "no such field"),
    ("generate", {"num_inference_steps": True}, "invalid_input", "num_inference_steps"),
    ("generate", {"num_inference_steps": "25"}, "invalid_input", "num_inference_steps"),
    ("generate", {"num_inference_steps": 25.5}, "invalid_input", "num_inference_steps"),
    ("generate", {"model_id": "1"}, "invalid_input", "model_id"),
    ("generate", {"model_id": 0}, "invalid_input", "model_id"),
    ("generate", {"model_id": 2**31}, "invalid_input", "model_id"),
    ("generate", {"prompt": ""}, "invalid_input", "prompt"),
    ("generate", {"prompt": ["a"]}, "invalid_input", "prompt"),
    ("generate", {"prompt": None}, "invalid_input", "prompt"),
    ("generate", {"prompt": "x" * 4001}, "invalid_input", "prompt"),
    ("generate", {"prompt": "${0.resolved_prompt}"}, "invalid_input", "step"),
    ("generate", {"width": 1023}, "invalid_input", "Did you mean 1008 or 1024"),
    ("generate", {"width": 4096, "height": 4096}, "invalid_input", "megapixel"),
    ("generate", {"seed": -1}, "invalid_input", "seed"),
    ("generate", {"seed": 2**53}, "invalid_input", "seed"),
    ("generate", {"lora_scale": "1.0"}, "invalid_input", "lora_scale"),
    ("generate", {"guidance_scale": -1}, "invalid_input", "guidance_scale"),
    ("mask", {"object_name": ""}, "invalid_input", "object_name"),
    ("mask", {"mask_blur": 513}, "invalid_input", "mask_blur"),
    ("mask", {"image_url": 5}, "invalid_input", "image_url"),
    ("inpaint", {"denoise": 1.01}, "invalid_input", "denoise"),
    ("inpaint", {"steps": 0}, "invalid_input", "steps"),
    ("video", {"length": 32}, "invalid_input", "Did you mean 29 or 33"),
    ("video", {"width": 1280, "height": 1280}, "invalid_input", "1280×720"),
    ("train", {"trigger_word": "a b"}, "invalid_input", "no space or hyphen, 64 at most: as TOK_HANDBAG"),
    ("train", {"trigger_word": "<lora:x>"}, "invalid_input", "trigger_word"),
    ("train", {"lr": 0}, "invalid_input", "lr"),
    ("train", {"learning_rate": 1}, "unknown_field", "no such field"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "wrong", "code", "word"), WRONG)
def test_a_wrong_field_is_named(client: FlaskClient, tool: str, wrong: dict[str, Any], code: str, word: str) -> None:
    for path in (f"/api/{tool}", f"/api/{tool}/async")[: 1 if tool == "train" else 2]:
        problem = assert_problem(client.post(path, json=WHOLE[tool] | wrong), 422, code)
        assert word in problem["detail"]
        assert all(error["pointer"].startswith("/") for error in problem["errors"])


def test_a_whole_number_written_with_a_point_is_no_int(client: FlaskClient) -> None:
    assert_problem(client.post("/api/mask", json=WHOLE["mask"] | {"mask_blur": 25.0}), 422, "invalid_input")


def test_a_misspelt_field_is_told_beside_the_gap_that_it_leaves(client: FlaskClient) -> None:
    problem = assert_problem(client.post("/api/generate", json={"model_id": 1, "promt": "x"}), 422, "invalid_input")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [
        ("/prompt", "missing_input"),
        ("/promt", "unknown_field"),
    ]
    assert "Did you mean prompt" in problem["detail"]


@pytest.mark.parametrize("tool", ["generate", "mask", "inpaint", "video", "train"])
def test_what_is_missing_is_named(client: FlaskClient, tool: str) -> None:
    problem = assert_problem(client.post(f"/api/{tool}", json={}), 422, "missing_input")
    assert {error["pointer"].lstrip("/") for error in problem["errors"]} == set(WHOLE[tool])


def test_a_model_must_be_there_and_ready(client: FlaskClient) -> None:
    asked = WHOLE["generate"] | {"model_id": 999_999}
    assert "/api/models" in assert_problem(client.post("/api/generate", json=asked), 404, "model_not_found")["detail"]
    assert_problem(client.get("/api/models/999999"), 404, "model_not_found")
    assert_problem(client.get("/api/models/-1"), 404, "model_not_found")
    assert_problem(client.get("/api/models/99999999999999999999"), 404, "model_not_found")


UNKNOWN_IDS = ["00000000-0000-4000-8000-000000000000", "no-uuid", "1", "%00", "..%2f..", "%ff", "x" * 3000]


@pytest.mark.parametrize("job_id", UNKNOWN_IDS)
def test_an_unknown_job_is_not_found(client: FlaskClient, job_id: str) -> None:
    code = "not_found" if "%2f" in job_id else "job_not_found"
    for route in ("jobs", "generate", "mask", "inpaint", "video", "training-status"):
        assert_problem(client.get(f"/api/{route}/{job_id}"), 404, code)
    assert_problem(client.post(f"/api/jobs/{job_id}/cancel"), 404, code)


@pytest.mark.parametrize("template_id", UNKNOWN_IDS)
def test_an_unknown_template_is_not_found(client: FlaskClient, template_id: str) -> None:
    code = "not_found" if "%2f" in template_id else "template_not_found"
    one = f"/api/templates/{template_id}"
    for answer in (client.get(one), client.delete(one), client.get(f"{one}/image")):
        assert_problem(answer, 404, code)
    assert_problem(client.post(f"{one}/resolve", json={"trigger_word": "TOK"}), 404, code)


@pytest.mark.parametrize("path", ["/nope", "/api", "/api/generate/async/more", "/docs/../app.py", "/docs/no.js"])
def test_an_unknown_route_is_a_problem_too(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize(("path", "meant"), [
    ("/api/mask/", "/api/mask?"), ("/mask", "/api/mask?"), ("/api/tempates", "/api/templates?"), ("/qqq", ""),
])  # fmt: skip
def test_a_route_that_is_nearly_right_is_named(client: FlaskClient, path: str, meant: str) -> None:
    detail = assert_problem(client.get(path), 404, "not_found")["detail"]
    assert ("did you mean" in detail) is bool(meant)
    assert meant in detail


@pytest.mark.parametrize(("verb", "path", "allowed"), [
    ("GET", "/api/generate", "POST"), ("DELETE", "/api/jobs", "GET"), ("PUT", "/api/templates", "POST"),
    ("POST", "/health", "GET"), ("PATCH", "/api/images/x.png", "GET"),
])  # fmt: skip
def test_a_wrong_method_says_which_is_right(client: FlaskClient, verb: str, path: str, allowed: str) -> None:
    answer = client.open(path, method=verb)
    assert allowed in assert_problem(answer, 405, "method_not_allowed")["detail"]
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize(("query", "word"), [
    ("limit=0", "1 to 200"), ("limit=201", "1 to 200"), ("limit=-1", "1 to 200"), ("limit=x", "1 to 200"),
    ("limit=٣", "1 to 200"), ("cursor=nope", "cursor"), ("cursor=%00", "cursor"), ("cursor=AAAA", "cursor"),
    ("status=done", "pending"), ("tool=paint", "generate"), ("state=failed", "status"),
])  # fmt: skip
def test_a_wrong_query_is_refused(client: FlaskClient, query: str, word: str) -> None:
    code = "unknown_field" if query.startswith("state") else "invalid_input"
    assert word in assert_problem(client.get(f"/api/jobs?{query}"), 422, code)["detail"]


NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("path", ["/api/jobs", "/api/flows", "/api/batches"])
@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+23:59", "2026-11-25T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_a_cursor_that_somebody_made_up_is_refused_or_leads_somewhere(
    client: FlaskClient, path: str, moment: str
) -> None:  # fmt: skip
    cursor = urlsafe_b64encode(f"{moment} {NOBODY}".encode()).decode()
    answer = client.get(path, query_string={"cursor": cursor})
    if moment.startswith("2026"):
        assert answer.status_code == 200
    else:
        assert "cursor" in assert_problem(answer, 422, "invalid_input")["detail"]


def test_a_template_is_resolved_by_its_address_alone(client: FlaskClient) -> None:
    made = client.post("/api/templates", json={"name": "n", "prompt": "trigger_keyword"}).get_json()
    other = client.post("/api/templates", json={"name": "o", "prompt": "other"}).get_json()
    asked = {"trigger_word": "TOK", "template_id": other["id"]}
    assert_problem(client.post(f"/api/templates/{made['id']}/resolve", json=asked), 422, "unknown_field")
    for word in ("{{7*7}}", "$(id)", "a\n", "", 5):
        answer = client.post(f"/api/templates/{made['id']}/resolve", json={"trigger_word": word})
        assert_problem(answer, 422, "invalid_input")


def test_a_template_needs_a_name_and_a_prompt(client: FlaskClient) -> None:
    assert_problem(client.post("/api/templates", json={"name": "n"}), 422, "missing_input")
    form = client.post("/api/templates", data={"name": "n", "promt": "p"}, content_type="multipart/form-data")
    assert_problem(form, 422, "invalid_input")


@pytest.mark.parametrize("place", ["{product}", "{{ product }}", "${word}", "$word", "[trigger]", "<trigger_word>"])
def test_a_place_that_nothing_would_fill_is_refused(client: FlaskClient, place: str) -> None:
    problem = assert_problem(
        client.post("/api/templates", json={"name": "n", "prompt": f"{place} on a table"}), 422, "invalid_input"
    )
    assert problem["detail"].startswith("prompt: where the product's word shall stand, write trigger_keyword: ")
    assert place in problem["detail"]
    for prompt in (f"trigger_keyword, {place}", "a table for $40", "a table {red|blue}", "a table"):
        assert client.post("/api/templates", json={"name": "n", "prompt": prompt}).status_code == 201


def test_several_photos_in_a_form_are_to_be_packed(client: FlaskClient) -> None:
    form = {
        "model_name": "Bag",
        "trigger_word": "TOK_BAG",
        "images": [(io.BytesIO(b"a"), "a.png"), (io.BytesIO(b"b"), "b.png")],
    }
    problem = assert_problem(
        client.post("/api/train", data=form, content_type="multipart/form-data"), 400, "bad_request"
    )
    assert problem["detail"] == "The form has 2 files in images: pack them into one zip."


def test_a_sentence_of_ours_is_not_announced_as_an_exception(client: FlaskClient) -> None:
    hook = {"url": "https://example.com/", "events": ["job.done"]}
    assert assert_problem(client.post("/api/webhooks", json=hook), 422, "invalid_input")["detail"].startswith(
        "events: there is no event job.done; there are job.completed"
    )


@pytest.mark.parametrize("tool", WHOLE)
@pytest.mark.parametrize("name", ["start_within_seconds", "timeout_seconds"])
@pytest.mark.parametrize("value", [0, -1, 4, 10**9, 1.5, "60", True, [60], "${0.seconds}"])
def test_a_deadline_that_makes_no_sense_is_refused(client: FlaskClient, tool: str, name: str, value: object) -> None:
    answer = client.post(f"/api/{tool}" + "/async" * (tool != "train"), json={**WHOLE[tool], name: value})
    problem = assert_problem(answer, 422, "invalid_input")
    assert problem["errors"][0]["pointer"] == f"/{name}"


def test_a_deadline_in_a_form_is_a_number_too(client: FlaskClient) -> None:
    form = {"model_name": "Bag", "trigger_word": "TOK_BAG", "timeout_seconds": "99999"}
    problem = assert_problem(
        client.post("/api/train", data=form, content_type="multipart/form-data"), 422, "invalid_input"
    )
    assert "less than or equal to 7200" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs",
        "/api/flows",
        "/api/batches",
        "/api/usage",
        "/api/webhooks/default/deliveries",
        f"/api/jobs/{UUID(int=0)}/events",
    ],
)
def test_a_filter_that_there_is_not_never_shows_all(client: FlaskClient, path: str) -> None:
    problem = assert_problem(client.get(f"{path}?statuss=failed"), 422, "unknown_field")
    assert "there is no such filter; there are " in str(problem)
