"""One deployment is one team: what belongs to another one is not here, and a key of another one opens nothing."""

from collections.abc import Iterator
from typing import Any
from uuid import RFC_4122, UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url, select, text
from werkzeug.test import TestResponse

from api.app import create_app
from db import api_keys, schema
from db.base import transaction
from db.receivers import Delivery
from db.traces import Attempt
from tests.api.asking import assert_problem
from tests.api.test_callers import OPEN, ask, fill, list_routes, make, surroundings
from tests.db import rows
from tests.db.conftest import forget, run
from tools.catalog import TOOLS

#: An address in the bucket of another deployment.
THEIRS = "r2://packshot-of-others/uploads/a.png"

HOOK = "http://127.0.0.1:9/"


@pytest.fixture(scope="module")
def locked(app: Flask) -> Iterator[Flask]:  # noqa: ARG001 - it adds the tool nap
    """Give the app that wants a key."""
    with surroundings(AUTH="keys", WEBHOOK_HOSTS="127.0.0.1"):
        yield create_app()


@pytest.fixture(scope="module")
def others(locked: Flask, postgres_url: str) -> Iterator[tuple[str, dict[str, str]]]:  # noqa: ARG001 - it comes before
    """Let another deployment make one of everything, in a database of its own; give its key, and the ids by name."""
    name = f"others_{uuid4().hex}"
    run(postgres_url, f'CREATE DATABASE "{name}"')
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    forget()
    with surroundings(DATABASE_URL=url, AUTH="keys", WEBHOOK_HOSTS="127.0.0.1"):
        schema.upgrade()
        key = api_keys.create("theirs", ["admin"])
        made = make_all(create_app(), key)
        assert ask(create_app(), key, f"/api/jobs/{made['job_id']}").status_code == 200
        forget()
    yield key, made
    run(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def make_all(app: Flask, key: str) -> dict[str, str]:
    """Make one of everything that has an id, and name each as the routes do."""

    def post(path: str, body: dict[str, Any], name: str) -> str:
        answer = ask(app, key, f"/api/{path}", "POST", json=body)
        assert answer.status_code in {201, 202}, answer.text
        return str(answer.get_json()[name])

    webhook = post("webhooks", {"url": HOOK}, "webhook_id")
    with transaction() as session:  # one that nothing was sent to, whatever ended before
        session.execute(text("TRUNCATE deliveries"))
    made = {
        "job_id": post("nap/async", {}, "job_id"),
        "flow_id": post("flows", {"steps": [{"id": "a", "tool": "nap"}]}, "flow_id"),
        "batch_id": post("batches", {"tool": "nap", "items": [{}]}, "batch_id"),
        "template_id": post("templates", {"name": "a", "prompt": "b"}, "id"),
        "webhook_id": webhook,
        "delivery_id": post(f"webhooks/{webhook}/test", {}, "delivery_id"),
        "model_id": "999999999",
    }
    rows.start(UUID(made["job_id"]))
    with transaction() as session:
        made["attempt_id"] = str(session.scalars(select(Attempt.id).limit(1)).one())
        assert session.scalars(select(Delivery.id)).one() == UUID(made["delivery_id"])
    return {**made, "filename": f"{made['attempt_id']}.png"}


def place(rule: str, ids: dict[str, str]) -> str:
    """Write an address of a rule with these ids."""
    for name, value in ids.items():
        rule = rule.replace(f"<{name}>", value)
    return rule


def said(answer: TestResponse) -> dict[str, Any]:
    """Give what an answer tells, but for the address which was asked for."""
    told = dict(answer.get_json())
    told.pop("instance")
    return {**told, "headers": sorted(set(answer.headers.keys()) - {"X-Request-Id"})}


@pytest.mark.parametrize(
    "tool", [tool for tool in TOOLS if any(n.endswith("_url") for n in TOOLS[tool].params.model_fields)]
)
@pytest.mark.usefixtures("no_new_job")
def test_029_a_file_of_another_deployment_is_refused_wherever_one_is_taken(
    client: FlaskClient, picture: str, tool: str
) -> None:
    names = [name for name in TOOLS[tool].params.model_fields if name.endswith("_url")]
    good = dict.fromkeys(names, picture) | ({"object_name": "bag"} if tool == "mask" else {})
    for name in names:
        asked = {**good, name: THEIRS}
        step = {"id": "a", "tool": tool, "with": asked}
        for path, body in (
            (f"{tool}/async", asked),
            ("flows", {"steps": [step]}),
            ("batches", {"tool": tool, "items": [asked]}),
        ):
            assert_problem(client.post(f"/api/{path}", json=body), 422, "path_not_allowed")


@pytest.mark.usefixtures("no_new_job")
def test_029_nor_as_a_photo_to_train_on(client: FlaskClient) -> None:
    asked = {"model_name": "a", "trigger_word": "TOK", "images": [THEIRS] * 4}
    assert_problem(client.post("/api/train", json=asked), 422, "path_not_allowed")


def test_094_a_key_of_another_deployment_opens_nothing_and_learns_nothing(
    locked: Flask, others: tuple[str, dict[str, str]]
) -> None:
    key, ids = others
    prefix = key.split("_")[1]
    for verb, rule in list_routes(locked):
        if rule in OPEN:
            continue
        told = [ask(locked, sent, fill(place(rule, ids)), verb) for sent in (key, key.replace(prefix, "0" * 12))]
        assert {answer.status_code for answer in told} == {401}, (verb, rule)
        assert verb == "HEAD" or said(told[0]) == said(told[1])


def test_094_what_another_deployment_made_is_told_like_what_never_was(
    locked: Flask, others: tuple[str, dict[str, str]]
) -> None:
    ours, (_, theirs) = make("admin"), others
    never = {name: str(uuid4()) for name in theirs} | {"model_id": "1" * 9, "filename": f"{uuid4()}.png"}
    no_ids = dict.fromkeys(theirs, "nothing") | {"filename": "nothing.png"}
    asked = 0
    for verb, rule in list_routes(locked):
        if "<" in rule and rule not in OPEN and verb != "HEAD":
            body: dict[str, Any] = {} if verb == "GET" else {"json": {}}
            told = [said(ask(locked, ours, place(rule, ids), verb, **body)) for ids in (theirs, never, no_ids)]
            assert told[0]["status"] == 404, (verb, rule)
            assert told[0] == told[1] == told[2], (verb, rule)
            asked += 1
    assert asked > 30


def test_095_an_id_is_random(others: tuple[str, dict[str, str]]) -> None:
    _, theirs = others
    ids = [UUID(value) for name, value in theirs.items() if name not in {"model_id", "filename"}]
    assert len({*ids}) == 7
    for one in ids:  # of such a one, 122 of 128 bits are
        assert (one.version, one.variant) == (4, RFC_4122)


@pytest.mark.parametrize(("scope", "verbs"), [("read", {"GET", "HEAD"}), ("submit", {"POST"})])
def test_094_a_key_does_on_every_route_what_its_scope_says_and_no_more(
    locked: Flask, scope: str, verbs: set[str]
) -> None:
    key = make(scope)
    for verb, rule in list_routes(locked):
        if rule not in OPEN:
            answer = ask(locked, key, fill(rule), verb)
            may = verb in verbs and not rule.startswith("/api/webhooks")
            assert (answer.status_code != 403) is may, (verb, rule)
            assert answer.status_code < 500
            answer.close()
