"""What happened to a job or a flow is listed, and streamed to who asks for that."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete
from werkzeug.test import TestResponse

from api.feeds import write
from api.streams import MOST_LISTENERS, Streams
from db.base import transaction
from db.jobs import ENDED
from db.traces import Event
from tasks import ending
from tests.api.asking import assert_problem
from tests.db import rows
from tests.docs.blocks import ROOT
from tests.ear import Ear

STREAM = "text/event-stream"


@pytest.fixture
def job_id(client: FlaskClient) -> str:
    """Make a job to which something happens."""
    made = str(client.post("/api/nap/async", json={}).get_json()["job_id"])
    rows.start(UUID(made))
    return made


@pytest.fixture
def flow_id(client: FlaskClient) -> str:
    made = client.post("/api/flows", json={"steps": [{"id": "one", "tool": "nap", "with": {}}]})
    return str(made.get_json()["flow_id"])


def ask(client: FlaskClient, path: str, last: object = None, **more: Any) -> TestResponse:
    """Ask for a stream."""
    after = {} if last is None else {"Last-Event-ID": str(last)}
    return client.get(path, headers={"Accept": STREAM, **after}, **more)


def understand(answer: TestResponse) -> list[dict[str, Any]]:
    """Read the frames of an answer that is whole."""
    ear = Ear()
    ear.status = answer.status_code
    ear.hear(answer.data)
    return ear.frames


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/html", f"{STREAM};q=0.5, application/json"])
def test_who_does_not_ask_for_a_stream_gets_a_list(client: FlaskClient, job_id: str, accept: str) -> None:
    answer = client.get(f"/api/jobs/{job_id}/events", headers={"Accept": accept})
    assert answer.content_type == "application/json"
    listed = answer.get_json()
    assert list(listed) == ["data", "next_cursor", "has_more"]
    assert [(one["event"], one["status"]) for one in listed["data"]] == [
        ("accepted", "pending"), ("started", "processing"),
    ]  # fmt: skip


def test_a_list_goes_on_where_its_page_ended(client: FlaskClient, job_id: str) -> None:
    path = f"/api/jobs/{job_id}/events"
    first = client.get(f"{path}?limit=1").get_json()
    second = client.get(f"{path}?limit=1&cursor={first['next_cursor']}").get_json()
    assert [one["event"] for page in (first, second) for one in page["data"]] == ["accepted", "started"]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


def test_a_flow_lists_what_happens_in_it(client: FlaskClient, flow_id: str) -> None:
    path = f"/api/flows/{flow_id}/events"
    client.post(f"/api/flows/{flow_id}/cancel")
    listed = client.get(path).get_json()["data"]
    assert [one["event"] for one in listed] == ["accepted", "cancelled", "cancelled"]
    assert (listed[1]["job"]["step"], listed[2]["job"], listed[2]["ended"]) == ("one", None, True)
    assert client.get(f"/api/flows/{flow_id}").get_json()["urls"]["events"] == path


@pytest.mark.parametrize(("query", "code"), [
    ("limit=0", "invalid_input"), ("limit=201", "invalid_input"), ("cursor=x", "invalid_input"),
    ("cursor=-1", "invalid_input"), (f"cursor={2**63}", "invalid_input"), ("after=1", "unknown_field"),
])  # fmt: skip
def test_a_list_is_not_asked_for_nonsense(client: FlaskClient, job_id: str, query: str, code: str) -> None:
    assert_problem(client.get(f"/api/jobs/{job_id}/events?{query}"), 422, code)


@pytest.mark.parametrize("accept", ["*/*", STREAM])
@pytest.mark.parametrize("name", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_what_is_not_there_has_no_events(client: FlaskClient, accept: str, name: str) -> None:
    for path, code in ((f"/api/jobs/{name}/events", "job_not_found"), (f"/api/flows/{name}/events", "flow_not_found")):
        assert_problem(client.get(path, headers={"Accept": accept}), 404, code)


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "1e3", "٣", str(2**63), "9" * 5000])
def test_an_id_that_no_event_can_have_is_refused(client: FlaskClient, job_id: str, last: str) -> None:
    sent = last.encode().decode("latin-1")
    assert_problem(ask(client, f"/api/jobs/{job_id}/events", sent), 400, "bad_request")


def test_what_has_ended_is_shown_once_and_its_listeners_are_told_not_to_come_again(
    client: FlaskClient, job_id: str
) -> None:
    path = f"/api/jobs/{job_id}/events"
    rows.end(UUID(job_id), "completed", {"success": True})
    answer = ask(client, path)
    assert answer.content_type == STREAM
    assert (answer.headers["X-Accel-Buffering"], answer.headers["Cache-Control"]) == ("no", "no-store")
    (frame,) = understand(answer)
    assert (frame["event"], frame["data"]["status"], frame["data"]["ended"]) == ("snapshot", "completed", True)
    assert frame["data"]["result"] == {"success": True}
    assert ask(client, path, frame["id"]).status_code == 204


def test_who_goes_on_after_what_was_forgotten_sees_a_snapshot(client: FlaskClient, job_id: str) -> None:
    ending.cancel(UUID(job_id))
    path = f"/api/jobs/{job_id}/events"
    numbers = [one["id"] for one in client.get(path).get_json()["data"]]
    forget(numbers[0])
    (frame,) = understand(ask(client, path, numbers[0]))
    assert (frame["event"], frame["id"], frame["data"]["status"]) == ("snapshot", numbers[-1], "cancelled")
    forget(*numbers)
    (frame,) = understand(ask(client, path, numbers[-1]))
    assert (frame["event"], frame["id"], frame["data"]["ended"]) == ("snapshot", None, True)


def forget(*numbers: int) -> None:
    with transaction() as session:
        session.execute(delete(Event).where(Event.id.in_(numbers)))


def test_a_flow_that_has_ended_is_shown_once_too(client: FlaskClient, flow_id: str) -> None:
    client.post(f"/api/flows/{flow_id}/cancel")
    (frame,) = understand(ask(client, f"/api/flows/{flow_id}/events"))
    assert (frame["event"], frame["data"]["status"], frame["data"]["ended"]) == ("snapshot", "cancelled", True)
    assert [step["status"] for step in frame["data"]["steps"]] == ["cancelled"]
    assert ask(client, f"/api/flows/{flow_id}/events", frame["id"]).status_code == 204


def test_a_server_that_cannot_let_go_of_a_connection_says_so(client: FlaskClient, job_id: str) -> None:
    assert_problem(ask(client, f"/api/jobs/{job_id}/events"), 406, "not_acceptable")


def test_the_page_names_every_kind_of_frame() -> None:
    names = ["snapshot", "progress", *ENDED, "accepted", "started", "attempt_lost", "throttled", "delayed"]
    texts = [write({"id": 1, "event": name}).decode() for name in names]
    (listed,) = re.findall(r"of (\[.*\])\) source", (ROOT / "docs/events.md").read_text())
    assert {text.splitlines()[1] for text in texts} == {f"event: {kind}" for kind in json.loads(listed)}


@pytest.fixture
def plug() -> Iterator[dict[str, Any]]:
    """Give what gunicorn says of a connection."""
    here, there = socket.socketpair()
    with here, there:
        yield {"gunicorn.socket": here}


def test_a_connection_that_others_share_is_not_taken(client: FlaskClient, job_id: str, plug: dict[str, Any]) -> None:
    shared = {**plug, "HTTP_VERSION": "2"}
    assert_problem(ask(client, f"/api/jobs/{job_id}/events", environ_overrides=shared), 406, "not_acceptable")


def test_where_all_places_are_taken_a_listener_is_told_to_come_later(
    app: Flask, client: FlaskClient, job_id: str, plug: dict[str, Any]
) -> None:
    streams: Streams = app.extensions["streams"]
    for _ in range(MOST_LISTENERS):
        streams.reserve()
    answer = ask(client, f"/api/jobs/{job_id}/events", environ_overrides=plug)
    assert assert_problem(answer, 503, "too_many_listeners")["retryable"] is True
    assert int(answer.headers["Retry-After"]) > 0
    streams.places.release(MOST_LISTENERS)


def test_a_place_is_given_back_by_who_never_listened(
    app: Flask, client: FlaskClient, job_id: str, plug: dict[str, Any]
) -> None:
    streams: Streams = app.extensions["streams"]
    for _ in range(MOST_LISTENERS - 1):
        streams.reserve()
    path = f"/api/jobs/{job_id}/events"
    assert client.head(path, headers={"Accept": STREAM}, environ_overrides=plug).status_code == 200
    for _ in range(2):  # who goes as soon as he has come
        ask(client, path, environ_overrides=plug, buffered=False).close()
    assert streams.places.acquire(blocking=False)
    streams.places.release(MOST_LISTENERS)
