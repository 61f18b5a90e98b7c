"""Cases of the threat table that are proved nowhere else: files, texts and names that come back out over HTTP."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from db.base import transaction
from db.jobs import Job
from tests.api.asking import PATIENCE_S, assert_problem, count_jobs, paint
from tests.api.test_callers import list_routes
from tools.catalog import TOOLS

FILES = ["images", "masks", "inpainted", "videos"]
GOOD = str(uuid4())

NAMES = {
    "034-dots": ["../config.py", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/x", "....//x.png", "..%5cx.png", "..\\x.png"],
    "035-nul": ["a.svg%00.png", f"{GOOD}.png%00.svg", "%00"],
    "036-not-ours": [f"{GOOD}.png", f"{GOOD}.mp4", f"{GOOD}.image_2.png", f"{GOOD}.image_9.png"],
    "037-runs-in-a-browser": [f"{GOOD}.svg", f"{GOOD}.html", f"{GOOD}.xml", f"{GOOD}.pdf", f"{GOOD}.png.html"],
    "039-huge": ["x" * 3500, f"{GOOD}.png" + "x" * 3500],
}


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("route", FILES)
def test_no_other_file_is_served(client: FlaskClient, route: str, case: str) -> None:
    for name in NAMES[case]:
        answer = client.get(f"/api/{route}/{name}")
        body = assert_problem(answer, 404, answer.get_json()["code"])
        assert body["code"] in {"file_not_found", "not_found"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_039_a_name_of_ten_kilobytes_is_refused_by_the_server(site: str) -> None:
    answer = requests.get(f"{site}/api/images/{'x' * 10_000}", timeout=PATIENCE_S)
    assert answer.status_code in {400, 404, 414}


SQL = ["'; DROP TABLE jobs;--", "1 OR 1=1", "a' UNION SELECT hash FROM api_keys--", "%' AND 1=0", "\\'; SELECT 1"]


@pytest.mark.parametrize("said", SQL)
def test_075_sql_in_any_text_is_a_text(client: FlaskClient, said: str) -> None:
    made = client.post("/api/templates", json={"name": said, "prompt": said}).get_json()
    assert (made["name"], made["prompt"]) == (said, said)
    job = client.post("/api/nap/async", json={"fate": said}).get_json()["job_id"]
    assert client.get(f"/api/jobs/{job}").get_json()["params"]["fate"] == said
    for name in ("status", "tool", "cursor", "limit", "sort", "order_by"):
        assert client.get("/api/jobs", query_string={name: said}).status_code in {404, 422}
    for path in ("jobs", "flows", "batches", "templates", "models", "mask"):
        assert client.get(f"/api/{path}/{said}").status_code == 404
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) is not None


MARKUP = "<img src=x onerror=alert(1)><script>alert(1)</script>"


def test_079_markup_comes_back_as_json_or_escaped(client: FlaskClient) -> None:
    made = client.post("/api/templates", json={"name": MARKUP, "prompt": MARKUP})
    job = client.post("/api/nap/async", json={"fate": MARKUP}).get_json()["job_id"]
    answers = [made, client.get(f"/api/jobs/{job}"), client.get("/api/templates"), client.get(f"/api/{MARKUP}"),
               client.post("/api/generate", json={MARKUP: MARKUP}), client.get(f"/api/jobs?{MARKUP}=1")]  # fmt: skip
    for answer in answers:
        assert answer.headers["Content-Type"] in {"application/json", "application/problem+json"}
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert MARKUP not in client.get("/docs/problems").get_data(as_text=True)


@pytest.mark.parametrize("name", ['a"; filename=evil.html', "a\r\nSet-Cookie: x=1", "näme.png", "=cmd()", "x" * 200])
def test_078_a_name_gets_into_no_header(client: FlaskClient, name: str) -> None:
    made = client.post("/api/templates", data={"name": name, "prompt": "p", "image": (io.BytesIO(paint()), "a.png")})
    assert made.status_code == 201
    image = client.get(made.get_json()["image_url"])
    for answer in (made, image):
        assert not any(name in value or "Set-Cookie" in key for key, value in answer.headers.items())
    assert image.headers["Content-Disposition"] == "inline"


TEMPLATES = ["{{7*7}}", "{0.__class__}", "$(id)", "%s %(a)s", "${trigger_word}", "#{7*7}", "<%= 7*7 %>", "\\g<0>"]


@pytest.mark.parametrize("said", TEMPLATES)
def test_076_a_template_is_no_program(client: FlaskClient, said: str) -> None:
    made = client.post("/api/templates", json={"name": "n", "prompt": f"{said} trigger_keyword"}).get_json()
    resolved = client.post(f"/api/templates/{made['id']}/resolve", json={"trigger_word": "TOK"}).get_json()
    assert resolved["resolved_prompt"] == f"{said} TOK"
    wrong = client.post(f"/api/templates/{made['id']}/resolve", json={"trigger_word": said})
    assert_problem(wrong, 422, "invalid_input")


def test_070_a_million_keys_are_not_read(client: FlaskClient) -> None:
    before = count_jobs()
    keys = ",".join(f'"k{n}":1' for n in range(100_000))
    answer = client.post("/api/generate", data="{" + keys + "}", content_type="application/json")
    assert_problem(answer, 413, "too_large")
    few = ",".join(f'"k{n}":1' for n in range(15_000))
    assert_problem(client.post("/api/generate", data="{" + few + "}", content_type="application/json"), 422,
                   "invalid_input")  # fmt: skip
    assert count_jobs() == before


SIZES: list[dict[str, Any]] = [{"width": value} for value in (-1, 0, 1, 8, 1023, 10**9, 2**63)] + [
    {"height": 0},
    {"width": 4096, "height": 4096},
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_063_a_size_that_no_model_makes_is_refused(client: FlaskClient, size: dict[str, int]) -> None:
    answer = client.post("/api/generate", json={"model_id": 1, "prompt": "a", **size})
    assert_problem(answer, 422, "invalid_input")


def test_101_every_route_says_which_verbs_it_takes(app: Flask, client: FlaskClient) -> None:
    for path in sorted({rule for _, rule in list_routes(app) if "<" not in rule}):
        assert_problem(client.open(path, method="TRACE"), 405, "method_not_allowed")
        assert client.open(path, method="PATCH").status_code == 405


def test_102_a_storm_of_cancels_is_one(app: Flask, client: FlaskClient) -> None:
    job = client.post("/api/nap/async", json={}).get_json()["job_id"]

    def cancel(_: int) -> tuple[int, str]:
        answer = app.test_client().post(f"/api/jobs/{job}/cancel")
        return answer.status_code, answer.get_json()["ended_at"]

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(cancel, range(60)))) == 1


def test_200_threads_with_one_key_make_one_job(site: str) -> None:
    before, headers = count_jobs(), {"Idempotency-Key": uuid4().hex}

    def ask(_: int) -> requests.Response:
        return requests.post(f"{site}/api/nap/async", json={}, headers=headers, timeout=PATIENCE_S)

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert count_jobs() == before + 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["job_id"] for answer in answers if answer.status_code == 202}) == 1


def test_111_what_is_open_to_all_names_nothing_of_anybody(client: FlaskClient) -> None:
    secret = "a name that nobody else has"
    client.post("/api/templates", json={"name": secret, "prompt": secret})
    job = client.post("/api/nap/async", json={"fate": "x"}).get_json()["job_id"]
    for path in ("/health", "/ready", "/openapi.json", "/docs", "/docs/problems"):
        said = client.get(path).get_data(as_text=True)
        assert secret not in said
        assert job not in said
    assert_problem(client.get("/metrics"), 404, "not_found")


def test_031_a_lora_is_named_by_its_model_alone(client: FlaskClient) -> None:
    assert not any("model_string" in tool.params.model_fields for tool in TOOLS.values())
    for name in ("model_string", "lora", "lora_path"):
        asked = {"model_id": 1, "prompt": "a", name: "r2://packshot/models/../evil.safetensors"}
        assert_problem(client.post("/api/generate", json=asked), 422, "unknown_field")
