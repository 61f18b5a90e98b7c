"""How every answer is given, whatever it says: what a browser may do with it, and who may read it."""

import re
import socket
from base64 import b64encode
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import files
from api.app import create_app
from api.manners import HEADERS
from db import pages
from storage.bucket import bucket
from tests.api.asking import PATIENCE_S, assert_problem
from tests.api.test_callers import surroundings
from tests.canaries import HOOKS

EVIL = "https://evil.example"
SHOP = "https://shop.example"


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/health", 200), ("GET", "/api/tools", 200), ("GET", "/nope", 404), ("PUT", "/api/jobs", 405),
    ("POST", "/api/generate", 415), ("GET", "/", 302), ("OPTIONS", "/api/jobs", 200),
])  # fmt: skip
def test_every_answer_keeps_a_browser_from_harm(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert answer.headers["X-Request-Id"]


def test_the_page_of_problems_has_its_one_style_and_nothing_else(client: FlaskClient) -> None:
    page = client.get("/docs/problems")
    told = {name: page.headers.get(name) for name in HEADERS}
    style = re.fullmatch(
        r"default-src 'none'; style-src 'sha256-([^']+)'; frame-ancestors 'none'",
        told.pop("Content-Security-Policy") or "",
    )
    (written,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style
    assert style[1] == b64encode(sha256(written.encode()).digest()).decode()
    assert told.items() <= HEADERS.items()


def test_a_mistake_of_ours_is_answered_with_the_same_manners(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr(pages, "read_list", fail)
    answer = app.test_client().get("/api/jobs")
    problem = assert_problem(answer, 500, "internal")
    assert not re.search(r"secret|Traceback|File \"|ZeroDivision", str(problem))
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_the_page_for_a_browser_runs_its_own_scripts_and_no_other(client: FlaskClient) -> None:
    page = client.get("/docs")
    policy, html = page.headers["Content-Security-Policy"], page.get_data(as_text=True)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    assert f"'sha256-{b64encode(sha256(scripts[0].encode()).digest()).decode()}'" in policy
    scripting = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripting
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def cors_of(answer: TestResponse) -> list[str]:
    return [name for name in answer.headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118 - Headers gives pairs


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1:5000", ""])
def test_no_page_of_another_origin_may_read_unless_it_is_named(client: FlaskClient, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert cors_of(client.open("/api/jobs", method=method, headers={"Origin": origin})) == []


@pytest.mark.parametrize(("auth", "kept"), [("off", "public"), ("keys", "private")])
def test_where_a_key_is_needed_nobody_keeps_a_file_for_others(app: Flask, auth: str, kept: str) -> None:
    address = f"r2://{bucket().name}/{bucket().put('masks/manners.png', b'a file').key}"
    with surroundings(AUTH=auth), app.test_request_context("/"):
        assert files.send(address).headers["Cache-Control"].startswith(kept)


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost.evil.example", "http://127.0.0.1:1"])
def test_without_keys_no_page_of_another_origin_has_anything_done(client: FlaskClient, origin: str) -> None:
    for path in ("/api/train", "/api/uploads"):
        form = {"images": (BytesIO(b"a zip"), "photos.zip")}
        assert_problem(client.post(path, data=form, headers={"Origin": origin}), 403, "origin_refused")
    assert client.get("/api/jobs", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost", SHOP, None])
@pytest.mark.usefixtures("database", "s3")
def test_our_own_page_and_those_that_are_named_have_things_done(origin: str | None) -> None:
    with surroundings(CORS_ORIGINS=SHOP):
        client = create_app().test_client()
    headers = {"Origin": origin} if origin else {}
    assert client.post("/api/templates", json={}, headers=headers).status_code == 422


def test_a_page_that_is_named_may_read_and_no_other(database: str, s3: object) -> None:  # noqa: ARG001 - they must run
    with surroundings(CORS_ORIGINS=f"{SHOP}, https://other.example/"):
        client = create_app().test_client()
    for origin, allowed in ((SHOP, True), ("https://other.example", True), (EVIL, False), (f"{SHOP}.evil", False)):
        answer = client.get("/api/tools", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


def test_a_named_page_may_ask_before_it_sends_its_key(database: str, s3: object) -> None:  # noqa: ARG001 - they must run
    with surroundings(CORS_ORIGINS=SHOP, AUTH="keys"):
        client = create_app().test_client()
    before = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = client.options("/api/generate", headers=before)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, SHOP)
    assert {"Authorization", "Last-Event-ID"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert client.get("/api/jobs", headers={"Origin": SHOP}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "evil.example:80", "lo host"])
def test_without_keys_we_are_asked_under_this_machines_names_alone(client: FlaskClient, host: str) -> None:
    assert (
        "TRUSTED_HOSTS" in assert_problem(client.get("/api/jobs", headers={"Host": host}), 400, "bad_request")["detail"]
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:5000", "127.0.0.1:80"])
def test_the_names_of_this_machine_are_trusted(client: FlaskClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_other_names_are_trusted_where_they_are_said(database: str, s3: object) -> None:  # noqa: ARG001 - they must run
    runpod = {"PUBLIC_URL": "https://hooks.example", "HOOK_SECRET": HOOKS}
    with surroundings(TRUSTED_HOSTS="gpu.example", AUTH="keys", **runpod):
        client = create_app().test_client()
    answers = {host: client.get("/health", headers={"Host": host}).status_code
               for host in ("gpu.example", "hooks.example", "localhost", "evil.example")}  # fmt: skip
    assert answers == {"gpu.example": 200, "hooks.example": 200, "localhost": 200, "evil.example": 400}


def test_nobody_can_turn_one_verb_into_another(client: FlaskClient) -> None:
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert client.get("/api/jobs", headers={name: "DELETE"}).status_code == 200
    assert_problem(client.open("/api/jobs", method="TRACE"), 405, "method_not_allowed")
    assert_problem(client.open("/api/jobs", method="CONNECT"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/console", "/nope?__debugger__=yes&cmd=resource", "/metrics", "/.env", "/.git/config"]
)
def test_there_is_no_way_in_for_those_who_mend(app: Flask, client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), 404, "not_found")
    assert not app.debug
    assert not app.testing


def test_a_strange_host_gets_an_id_too(client: FlaskClient) -> None:
    answer = client.get("/health", headers={"Host": "evil.example", "X-Request-Id": "<script>"})
    assert UUID(answer.headers["X-Request-Id"])


def send(site: str, *lines: str, body: str = "") -> str:
    """Send a request as it is written; give the first line of the answer."""
    parts = urlsplit(site)
    with socket.create_connection((str(parts.hostname), parts.port or 80), timeout=PATIENCE_S) as wire:
        wire.sendall("\r\n".join([*lines, "", body]).encode())
        return wire.makefile("rb").readline().decode()


HEAD = ("POST /api/jobs HTTP/1.1", "Host: localhost", "Connection: close")


@pytest.mark.parametrize(("lines", "status"), [
    ([*HEAD, "Content-Length: 4", "Transfer-Encoding: chunked"], "400"),
    ([*HEAD, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"], "400"),
    ([*HEAD, "Content-Length: 4", "Content-Length: 5"], "400"),
    ([*HEAD, "Content-Length: +4"], "400"),
    ([*HEAD, "Bad Header: x"], "400"),
    ([*HEAD, "X: " + "x" * 20_000], "431"),
    ([*HEAD, *[f"X-{n}: x" for n in range(200)]], "431"),
    (["GET /api/jobs?" + "x" * 20_000 + " HTTP/1.1", "Host: localhost", "Connection: close"], "400"),
], ids=["both", "encodings", "lengths", "signed", "space", "long header", "many headers", "long line"])  # fmt: skip
def test_what_two_servers_might_read_differently_is_read_by_none(site: str, lines: list[str], status: str) -> None:
    answered = send(site, *lines, body="0\r\n\r\n")
    assert answered.split()[1] in {status, "400", "414"}, answered
    assert send(site, "GET /health HTTP/1.1", "Host: localhost", "Connection: close").split()[1] == "200"


def test_cookies_are_neither_set_nor_heeded(client: FlaskClient, app: Flask) -> None:
    with surroundings(AUTH="keys"):
        locked = create_app().test_client()
    locked.set_cookie("session", "x")
    locked.set_cookie("Authorization", "Bearer x")
    answers: list[Any] = [client.get("/docs"), client.get("/api/tools"), locked.get("/api/jobs")]
    assert [answer.status_code for answer in answers] == [200, 200, 401]
    assert not any("Set-Cookie" in answer.headers for answer in answers)
    assert app.secret_key is None
