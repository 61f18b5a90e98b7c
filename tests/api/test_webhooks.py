"""Webhooks over HTTP: registered, named by a request, refused; and that nothing of this costs who wants none."""

import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from db.base import transaction
from db.receivers import DEFAULT, Callback, Delivery
from settings import settings
from tests.api.asking import PHOTOS, assert_problem, count_jobs, counted
from tests.api.test_bad_files import FIELDS, pack, send_form
from tests.db import hearing, rows
from tests.storage.internet import Internet, fake_internet, run_stranger
from tools.webhooks import BATCH_ENDS, EVENTS, FLOW_ENDS, JOB_ENDS

#: Fixtures that stand beside what they make.
BESIDE = (fake_internet, run_stranger)

URL = "https://good.example/hooks"
HOST = "https://good.example"


@pytest.fixture(autouse=True)
def start_anew(database: str) -> Iterator[None]:  # noqa: ARG001 - it must run
    yield
    hearing.forget()


@pytest.fixture(name="open_host")
def open_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Have a host in the house to which webhooks may go; give an address there."""
    monkeypatch.setenv("WEBHOOK_HOSTS", "hooks.internal:8080, 127.0.0.1")
    settings.cache_clear()
    yield "http://hooks.internal:8080/x"
    settings.cache_clear()


def register(client: FlaskClient, url: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/webhooks", json={"url": url, **more})
    assert answer.status_code == 201, answer.get_json()
    return dict(answer.get_json())


def callbacks() -> list[tuple[str | None, str | None, str, list[str]]]:
    with transaction() as session:
        listed = session.scalars(select(Callback).order_by(Callback.id))
        return [(tell(one.job_id), tell(one.flow_id), one.url, one.events) for one in listed]


def tell(of: UUID | None) -> str | None:
    return str(of) if of else None


def test_a_webhook_is_made_shown_changed_and_deleted(client: FlaskClient, open_host: str) -> None:
    made = register(client, open_host, name="shop")
    assert made["secret"].startswith("whsec_")
    assert (made["events"], made["enabled"]) == ([name for name in EVENTS if name != "job.progress"], True)
    path = f"/api/webhooks/{made['webhook_id']}"
    shown = client.get(path).get_json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    changed = client.patch(path, json={"events": ["job.failed"], "enabled": False}).get_json()
    assert changed == {**shown, "events": ["job.failed"], "enabled": False}
    assert client.get("/api/webhooks").get_json() == {"data": [changed]}
    assert client.delete(path).status_code == 204
    assert_problem(client.get(path), 404, "webhook_not_found")


def test_a_secret_is_shown_when_it_is_made_and_never_again(client: FlaskClient, open_host: str) -> None:
    made = register(client, open_host)
    path = f"/api/webhooks/{made['webhook_id']}"
    turned = client.post(f"{path}/rotate").get_json()
    assert turned["secret"] not in {made["secret"], None}
    assert turned["old_secret_until"]
    again = client.post(f"{path}/rotate", json={"overlap_seconds": 0}).get_json()
    answers = [client.get(path), client.get("/api/webhooks"), client.patch(path, json={"name": "x"}),
               client.post(f"{path}/test"), client.get(f"{path}/deliveries")]  # fmt: skip
    for secret in (made["secret"], turned["secret"], again["secret"]):
        assert not [answer for answer in answers if secret in answer.text]


def test_a_test_is_on_its_way_at_once_and_can_be_sent_again(client: FlaskClient, open_host: str) -> None:
    path = f"/api/webhooks/{register(client, open_host, events=['job.failed'])['webhook_id']}"
    sent = client.post(f"{path}/test")
    assert (sent.status_code, sent.get_json()["type"], sent.get_json()["status"]) == (202, "webhook.test", "pending")
    with transaction() as session:
        session.execute(update(Delivery).values(status="failed", due_at=None))
    (entry,) = client.get(f"{path}/deliveries?status=failed").get_json()["data"]
    assert (entry["delivery_id"], entry["next_at"]) == (sent.get_json()["delivery_id"], None)
    again = client.post(f"{path}/deliveries/{entry['delivery_id']}/redeliver")
    assert (again.status_code, again.get_json()["message_id"]) == (202, entry["message_id"])
    assert again.get_json()["next_at"]
    client.patch(path, json={"enabled": False})
    assert_problem(client.post(f"{path}/test"), 409, "webhook_disabled")
    assert_problem(client.post(f"{path}/deliveries/{entry['delivery_id']}/redeliver"), 409, "webhook_disabled")
    client.patch(path, json={"enabled": True})
    for name in (uuid4(), "nonsense"):
        assert_problem(client.post(f"{path}/deliveries/{name}/redeliver"), 404, "delivery_not_found")


def test_the_log_comes_by_pages_and_by_job(client: FlaskClient, open_host: str) -> None:
    path = f"/api/webhooks/{register(client, open_host)['webhook_id']}/deliveries"
    ended = [rows.accept() for _ in range(3)]
    for job_id in ended:
        rows.end(job_id)
    first = client.get(f"{path}?limit=2").get_json()
    rest = client.get(f"{path}?limit=2&cursor={first['next_cursor']}").get_json()
    listed = [one["job_id"] for one in first["data"] + rest["data"]]
    assert (listed, rest["has_more"]) == ([str(job_id) for job_id in reversed(ended)], False)
    (only,) = client.get(f"{path}?job_id={ended[0]}").get_json()["data"]
    assert only["job_id"] == listed[-1]
    assert_problem(client.get(f"{path}?stauts=failed"), 422, "unknown_field")
    assert_problem(client.get(f"{path}?status=lost"), 422, "invalid_input")
    assert_problem(client.get(f"{path}?job_id=x"), 404, "job_not_found")


@pytest.mark.parametrize("path", ["nonsense", "00000000-0000-4000-8000-000000000000", str(DEFAULT)])
def test_what_is_no_webhook_is_not_found(client: FlaskClient, path: str) -> None:
    one = f"/api/webhooks/{path}"
    for answer in (
        *(client.get(one), client.delete(one), client.patch(one, json={}), client.get(f"{one}/deliveries")),
        *(client.post(f"{one}/test"), client.post(f"{one}/rotate")),
    ):
        assert_problem(answer, 404, "webhook_not_found")


def test_what_signs_the_webhooks_of_requests_can_be_turned_and_read_but_not_changed(client: FlaskClient) -> None:
    shown = client.get("/api/webhooks/default").get_json()
    assert (shown["webhook_id"], shown["url"]) == ("default", None)
    assert client.post("/api/webhooks/default/rotate").get_json()["secret"].startswith("whsec_")
    assert client.get("/api/webhooks/default/deliveries").status_code == 200
    assert client.get("/api/webhooks").get_json() == {"data": []}
    assert_problem(client.patch("/api/webhooks/default", json={"enabled": False}), 404, "webhook_not_found")
    assert_problem(client.delete("/api/webhooks/default"), 404, "webhook_not_found")


WRONG: dict[str, tuple[Any, str, str, str]] = {
    "a number": (7, "invalid_input", "/webhook", "address, or an object"),
    "nothing": ({}, "missing_input", "/webhook/url", "required"),
    "no address": ("shop", "url_blocked", "/webhook", "https://"),
    "plain http": ("http://good.example/", "url_blocked", "/webhook", "https://"),
    "an odd port": ("https://good.example:8443/", "url_blocked", "/webhook", "port"),
    "loopback": ("https://127.0.0.1/", "url_blocked", "/webhook", "private"),
    "metadata": ("https://169.254.169.254/latest", "url_blocked", "/webhook", "private"),
    "a name of ours": ("https://private.example/", "url_blocked", "/webhook", "private"),
    "a name with two addresses": ("https://mixed.example/", "url_blocked", "/webhook", "private"),
    "a name of nobody": ("https://nobody.example/", "input_unreachable", "/webhook", "nobody.example"),
    "a password": ("https://me:you@good.example/", "url_blocked", "/webhook", "password"),
    "no such event": ({"url": URL, "events": ["job.done"]}, "invalid_input", "/webhook/events", "job.completed"),
    "no event": ({"url": URL, "events": []}, "invalid_input", "/webhook/events", "at least 1"),
    "another key": ({"url": URL, "secret": "x"}, "unknown_field", "/webhook/secret", "no such field"),
    "half an object": ('{"url": ', "invalid_input", "/webhook", "JSON"),
}

MASK = {"image_url": "r2://packshot/uploads/none.png", "object_name": "bag"}

SUBMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "a job": ("/api/nap/async", {}),
    "a flow": ("/api/flows", {"steps": [{"id": "a", "tool": "nap"}]}),
    "a batch": ("/api/batches", {"tool": "nap", "items": [{}]}),
    "a training": ("/api/train", {"images": "r2://packshot/uploads/a.zip", "model_name": "x", "trigger_word": "TOK"}),
}


@pytest.mark.parametrize("submit", SUBMITS)
@pytest.mark.parametrize("case", WRONG)
def test_a_webhook_that_cannot_be_is_refused_and_nothing_is_made(
    client: FlaskClient, internet: Internet, submit: str, case: str
) -> None:
    before = count_jobs()
    internet.dialled.clear()
    (path, body), (webhook, code, pointer, word) = SUBMITS[submit], WRONG[case]
    answer = client.post(path, json={**body, "webhook": webhook})
    problem = assert_problem(answer, 422, code)
    assert word in problem["detail"]
    assert problem["errors"][0]["pointer"] == pointer
    assert count_jobs() == before
    assert not [host for host in internet.dialled if host not in {"127.0.0.1", "::1"}]


@pytest.mark.parametrize("case", [case for case in WRONG if case not in {"a number", "nothing", "half an object"}])
def test_the_same_cannot_be_registered(client: FlaskClient, internet: Internet, case: str) -> None:
    webhook, code, _, word = WRONG[case]
    body = webhook if isinstance(webhook, dict) else {"url": webhook}
    assert word in assert_problem(client.post("/api/webhooks", json=body), 422, code)["detail"]
    assert "good.example" not in internet.dialled


@pytest.mark.parametrize(
    ("submit", "never"), [("a job", "flow.failed"), ("a flow", "batch.failed"), ("a batch", "flow.failed")]
)
def test_an_event_that_never_happens_there_is_refused(
    client: FlaskClient, open_host: str, submit: str, never: str
) -> None:
    path, body = SUBMITS[submit]
    asked = {**body, "webhook": {"url": open_host, "events": ["job.completed", never]}}
    assert f"{never} never happens" in assert_problem(client.post(path, json=asked), 422, "invalid_input")["detail"]


def test_a_form_that_is_too_deep_is_refused(client: FlaskClient) -> None:
    form = {**FIELDS, "webhook": '{"a":' * 50_000, "images": (io.BytesIO(b"x"), "a.zip")}
    assert "JSON" in assert_problem(client.post("/api/train", data=form), 422, "invalid_input")["detail"]


def test_every_submit_takes_an_address_or_an_object(client: FlaskClient, open_host: str) -> None:
    job = client.post("/api/nap/async", json={"webhook": open_host}).get_json()
    assert list(job) == ["job_id", "status"]
    named = {"url": open_host, "events": ["flow.failed", "job.failed", "flow.failed"]}
    flow = client.post("/api/flows", json={"steps": [{"id": "a", "tool": "nap"}], "webhook": named}).get_json()
    batch = client.post("/api/batches", json={"tool": "nap", "items": [{}], "webhook": open_host}).get_json()
    again = client.post(f"/api/jobs/{job['job_id']}/retry", json={"webhook": open_host}).get_json()
    silent = client.post(f"/api/jobs/{job['job_id']}/retry", json={}).get_json()
    assert callbacks() == [
        (job["job_id"], None, open_host, list(JOB_ENDS)),
        (None, flow["flow_id"], open_host, ["flow.failed", "job.failed"]),
        (None, batch["batch_id"], open_host, list(BATCH_ENDS)),
        (again["job_id"], None, open_host, list(JOB_ENDS)),
    ]
    assert silent["job_id"] not in str(callbacks())
    assert "webhook" not in client.get(f"/api/jobs/{job['job_id']}").get_json()["input"]


def test_a_flow_that_is_run_again_and_one_that_is_only_checked(client: FlaskClient, open_host: str) -> None:
    body = {"steps": [{"id": "a", "tool": "nap"}], "webhook": open_host}
    assert client.post("/api/flows?dry_run=true", json=body).get_json()["dry_run"]
    assert_problem(client.post("/api/flows?dry_run=true", json={**body, "webhook": 7}), 422, "invalid_input")
    assert callbacks() == []
    flow_id = client.post("/api/flows", json=body).get_json()["flow_id"]
    client.post(f"/api/flows/{flow_id}/cancel")
    again = client.post(f"/api/flows/{flow_id}/retry", json={"webhook": open_host}).get_json()["flow_id"]
    assert [(one, events) for _, one, _, events in callbacks()] == [
        (flow_id, list(FLOW_ENDS)),
        (again, list(FLOW_ENDS)),
    ]


@pytest.mark.parametrize("webhook", ["{url}", '{{"url": "{url}", "events": ["model.ready"]}}'])
def test_a_form_takes_both_as_text(client: FlaskClient, open_host: str, webhook: str) -> None:
    photos = pack({path.name: path.read_bytes() for path in PHOTOS})
    form = {**FIELDS, "webhook": webhook.format(url=open_host), "images": ("a.zip", photos)}
    answer = send_form(client, "/api/train", form)
    assert answer.status_code == 202, answer.get_json()
    events = list(JOB_ENDS) if webhook == "{url}" else ["model.ready"]
    assert callbacks() == [(answer.get_json()["job_id"], None, open_host, events)]


def test_a_key_stands_for_the_webhook_too(client: FlaskClient, open_host: str) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = client.post("/api/nap/async", json={"webhook": open_host}, headers=key).get_json()
    assert client.post("/api/nap/async", json={"webhook": open_host}, headers=key).get_json() == first
    assert_problem(client.post("/api/nap/async", json={}, headers=key), 422, "idempotency_mismatch")
    assert len(callbacks()) == 1


def test_a_misspelt_webhook_is_told_its_name(client: FlaskClient) -> None:
    problem = assert_problem(client.post("/api/nap/async", json={"webhok": URL}), 422, "unknown_field")
    assert problem["errors"][0]["suggestions"] == ["webhook"]


def test_a_job_costs_one_statement_with_a_webhook_or_without(client: FlaskClient, open_host: str) -> None:
    for body in ({}, {"webhook": open_host}):
        client.post("/api/nap/async", json=body)  # the first use of a connection
        with counted() as said:
            assert client.post("/api/nap/async", json=body).status_code == 202
        assert len(said) == 1, said
        assert ("callbacks" in said[0]) is bool(body)


def test_a_flow_costs_one_more_statement_for_its_webhook(client: FlaskClient, open_host: str) -> None:
    body = {"steps": [{"id": "a", "tool": "nap"}]}
    taken = []
    for more in ({}, {}, {"webhook": open_host}):
        with counted() as said:
            assert client.post("/api/flows", json={**body, **more}).status_code == 202
        taken.append(len(said))
    assert taken[2] == taken[1] + 1
