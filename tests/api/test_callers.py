"""Who may ask: with keys nobody without one, without them nobody from elsewhere; and nobody too often or too much."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import callers
from api.app import create_app
from db import api_keys
from embedded.ports import any_free
from settings import settings
from tasks.app import app as celery
from tests.api.asking import assert_problem, count_jobs, counted
from tools.allowance import Allowance

NOBODY = "00000000-0000-4000-8000-000000000000"

#: What needs no key.
OPEN = {"/", "/health", "/ready", "/hooks/runpod/<attempt_id>/<mark>", "/openapi.json", "/docs", "/docs/problems",
        "/docs/<path:filename>"}  # fmt: skip


@contextmanager
def surroundings(**env: str) -> Iterator[None]:
    """Have these settings meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def locked(app: Flask) -> Iterator[Flask]:  # noqa: ARG001 - it adds the tool nap
    """Give the app that wants a key."""
    with surroundings(AUTH="keys", GPU_PRICES="L4=900,H100=1800"):
        yield create_app()


def ask(app: Flask, key: str | None, path: str = "/api/jobs", method: str = "GET", **more: Any) -> TestResponse:
    """Ask with a key."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    return app.test_client().open(path, method=method, headers={**headers, **more.pop("headers", {})}, **more)


def nap(app: Flask, key: str, **given: Any) -> TestResponse:
    return ask(app, key, "/api/nap/async", "POST", json=given)


def make(*scopes: str, **allowance: Any) -> str:
    return api_keys.create("test", scopes or ("read", "submit"), allowance=Allowance(**allowance))


def list_routes(app: Flask) -> list[tuple[str, str]]:
    return [(verb, str(rule)) for rule in app.url_map.iter_rules() for verb in (rule.methods or set()) - {"OPTIONS"}]


def fill(rule: str) -> str:
    """Write an address of a rule."""
    names = {"<attempt_id>": NOBODY, "<job_id>": NOBODY, "<model_id>": "1", "<path:filename>": "swagger-ui.css"}
    for name, value in names.items():
        rule = rule.replace(name, value)
    while "<" in rule:
        rule = f"{rule[: rule.index('<')]}{NOBODY}{rule[rule.index('>') + 1 :]}"
    return rule


def test_no_route_answers_without_a_key_but_those_that_are_open(locked: Flask) -> None:
    for verb, rule in list_routes(locked):
        answer = ask(locked, None, fill(rule), verb)
        answer.close()
        assert (answer.status_code != 401) is (rule in OPEN), (verb, rule, answer.status_code)


@pytest.mark.parametrize("header", [
    None, "", "Bearer", "Bearer ", "Basic eDp5", "bearer x", "Bearer packshot_abc_def", "Bearer " + "x" * 10_000,
    "Bearer packshot_000000000000_" + "A" * 43, "Bearer schlüssel",
])  # fmt: skip
def test_what_is_no_key_is_refused_and_told_how(locked: Flask, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = locked.test_client().get("/api/jobs", headers=headers)
    code = "key_refused" if (header or "").lower().startswith("bearer ") and len(header or "") > 7 else "key_required"
    assert "packshot keys create" in assert_problem(answer, 401, code)["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_in_the_address_is_none(locked: Flask) -> None:
    key = make()
    for name in ("key", "api_key", "access_token"):
        assert_problem(ask(locked, None, f"/api/jobs?{name}={key}"), 401, "key_required")
    assert ask(locked, key).status_code == 200


@pytest.mark.parametrize(("scopes", "reads", "submits", "deletes"), [
    (("read",), 200, 403, 403), (("submit",), 403, 202, 403), (("read", "submit"), 200, 202, 403),
    (("admin",), 200, 202, 404),
])  # fmt: skip
def test_a_key_does_what_its_scopes_say(
    locked: Flask, scopes: tuple[str, ...], reads: int, submits: int, deletes: int
) -> None:
    key = make(*scopes)
    answers = [ask(locked, key), nap(locked, key), ask(locked, key, f"/api/templates/{NOBODY}", "DELETE")]
    assert [answer.status_code for answer in answers] == [reads, submits, deletes]
    for answer in answers:
        if answer.status_code == 403:
            assert "scopes" in assert_problem(answer, 403, "scope_missing")["detail"]


def test_webhooks_that_hear_of_everybody_are_for_admins(locked: Flask) -> None:
    for key, listed, made in ((make("read", "submit"), 403, 403), (make("admin"), 200, 422)):
        answers = [ask(locked, key, "/api/webhooks"), ask(locked, key, "/api/webhooks", "POST", json={})]
        assert [answer.status_code for answer in answers] == [listed, made]


def test_a_revoked_key_is_refused_once_it_is_forgotten(locked: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    key, now = make(), monotonic()
    assert ask(locked, key).status_code == 200
    api_keys.revoke(key.split("_")[1])
    assert ask(locked, key).status_code == 200
    monkeypatch.setattr(callers, "monotonic", lambda: now + callers.REMEMBERED_S + 60)
    assert_problem(ask(locked, key), 401, "key_refused")


def statements(do: Any) -> int:
    with counted() as said:
        assert do().status_code in {200, 202}
    return len(said)


def test_a_key_costs_a_submit_and_a_poll_one_statement_at_most(
    app: Flask, locked: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "REMEMBERED_S", 60.0)  # this machine may be slow
    client = app.test_client()
    job_id = client.post("/api/nap/async", json={}).get_json()["job_id"]
    client.get(f"/api/nap/{job_id}")  # each connection prepares the statement of a poll once
    submit, poll = [
        statements(do)
        for do in (lambda: client.post("/api/nap/async", json={}), lambda: client.get(f"/api/nap/{job_id}"))
    ]
    assert (submit, poll) == (1, 1)
    free, bound = make(), make(jobs_in_flight=1000, gpu_seconds_per_day=1e6, money_per_month=1e6)
    path = f"/api/nap/{job_id}"
    asked = [statements(lambda: ask(locked, free, path)) for _ in range(4)]
    assert (asked[0], asked.count(1) >= 2, max(asked)) == (2, True, 2), "another connection prepares it, too"
    assert [statements(lambda: nap(locked, free)) for _ in range(2)] == [1, 1]
    assert [statements(lambda: ask(locked, bound, path)) for _ in range(3)][::2] == [2, 1]
    assert [statements(lambda: nap(locked, bound)) for _ in range(2)] == [2, 2]


def test_a_quota_is_told_with_when_to_come_again(locked: Flask) -> None:
    key = make(jobs_in_flight=2)
    assert [nap(locked, key).status_code for _ in range(2)] == [202, 202]
    before = count_jobs()
    refused = nap(locked, key)
    assert assert_problem(refused, 429, "quota_reached")["retryable"] is True
    assert int(refused.headers["Retry-After"]) > 0
    steps = [{"id": "a", "tool": "nap"}]
    assert_problem(ask(locked, key, "/api/flows", "POST", json={"steps": steps}), 429, "quota_reached")
    items = {"tool": "nap", "items": [{}, {}]}
    assert_problem(ask(locked, make(jobs_in_flight=1), "/api/batches", "POST", json=items), 429, "quota_reached")
    keyed = {"Idempotency-Key": uuid4().hex}
    refused = ask(locked, key, "/api/nap/async", "POST", json={}, headers=keyed)
    assert_problem(refused, 429, "quota_reached")
    assert count_jobs() == before


def test_a_day_that_is_used_up_is_told_until_it_is_over(locked: Flask) -> None:
    refused = nap(locked, make(gpu_seconds_per_day=0))
    assert "GPU seconds a day" in assert_problem(refused, 429, "quota_reached")["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 86_401
    assert nap(locked, make(gpu_seconds_per_day=60), max_gpu_seconds=60).status_code == 202
    assert_problem(nap(locked, make(gpu_seconds_per_day=60), max_gpu_seconds=61), 429, "quota_reached")


def test_money_that_is_spent_is_told_as_that(locked: Flask) -> None:
    answer = nap(locked, make(money_per_month=10), max_gpu_seconds=21)
    assert assert_problem(answer, 402, "budget_spent")["retryable"] is False
    assert int(answer.headers["Retry-After"]) > 0
    assert nap(locked, make(money_per_month=10), max_gpu_seconds=20).status_code == 202


def test_a_job_that_was_taken_in_is_answered_for_whatever_is_used_up_since(locked: Flask) -> None:
    key, headers = make(jobs_in_flight=1), {"Idempotency-Key": uuid4().hex}
    first, again = [ask(locked, key, "/api/nap/async", "POST", json={}, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_json()["job_id"] == first.get_json()["job_id"]


@contextmanager
def limited(redis: str, rate: str = "5 per minute") -> Iterator[Flask]:
    """Give an app that answers so often and no more."""
    assert celery.conf.broker_url  # read once: Celery stays with the Redis that is there
    with surroundings(AUTH="keys", RATE_LIMIT=rate, REDIS_URL=redis):
        yield create_app()


def test_who_asks_too_often_is_told_when_to_ask_again(redis_url: str) -> None:
    with limited(redis_url) as app:
        key, other = make(), make()
        answers = [ask(app, key, address) for address in ("/api/jobs", "/api/flows") * 3]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert assert_problem(answers[-1], 429, "too_often")["retryable"] is True
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
        assert ask(app, other).status_code == 200
        assert ask(app, None, "/health").status_code == 200


def test_who_guesses_keys_may_not_guess_often(redis_url: str) -> None:
    with limited(redis_url, "4 per minute") as app:
        where = {"REMOTE_ADDR": f"10.0.0.{uuid4().int % 250 + 1}"}
        spoofed = [{"X-Forwarded-For": f"1.2.3.{n}"} for n in range(5)]
        guesses = [ask(app, f"packshot_{n}_x", environ_base=where, headers=spoofed[n]).status_code for n in range(5)]
        assert guesses == [401] * 4 + [429]
        assert ask(app, make(), environ_base=where).status_code == 200


def test_without_redis_nobody_is_refused_but_who_asks_too_often() -> None:
    with limited(f"redis://127.0.0.1:{any_free(set())}/0") as app:
        key = make()
        assert [ask(app, key).status_code for _ in range(6)] == [200] * 5 + [429]
        assert nap(app, make()).status_code == 202


def test_a_proxy_is_believed_only_where_one_is_said_to_stand(redis_url: str) -> None:
    with surroundings(PROXY_HOPS="1"), limited(redis_url, "2 per minute") as app:
        behind = [{"X-Forwarded-For": f"{uuid4()}, 1.2.3.{n}"} for n in (1, 1, 1, 2)]
        said = [ask(app, None, headers=headers).status_code for headers in behind]
        assert said == [401, 401, 429, 401]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com", "127.0.0.1.example.com"])
def test_without_keys_nobody_is_answered_elsewhere(client: FlaskClient, host: str) -> None:
    answer = client.get("/api/jobs", environ_overrides={"SERVER_NAME": host})
    assert answer.status_code == 401
    assert "127.0.0.1" in assert_problem(answer, 401, "key_required")["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", ""])
def test_without_keys_this_machine_is_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/health", environ_overrides={"SERVER_NAME": host}).status_code == 200


@pytest.mark.parametrize(("host", "family"), [("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)])
def test_the_api_does_not_start_for_others_without_keys(host: str, family: int) -> None:
    with surroundings(AUTH="off"), socket.socket(family) as door:
        door.bind((host, 0))
        create_app()  # nobody listens yet
        door.listen()
        with pytest.raises(RuntimeError, match="set AUTH=keys"):
            create_app()
        with surroundings(AUTH="keys"):
            create_app()


def test_to_look_for_listeners_leaves_nothing_open() -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    list(callers.listening())
    assert len(list(Path("/dev/fd").iterdir())) == before
