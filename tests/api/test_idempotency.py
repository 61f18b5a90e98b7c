"""A request that is sent again under the same key makes no second job."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from db import base
from tasks import ending
from tests import photos
from tests.api.asking import assert_problem, count_jobs
from tests.api.test_bad_files import FIELDS

Nap = Callable[..., TestResponse]


@pytest.fixture
def key() -> str:
    return uuid4().hex


@pytest.fixture(name="nap")
def give_nap(client: FlaskClient, key: str) -> Nap:
    """Give the function that asks for a nap under the key."""

    def nap(path: str = "/api/nap/async", *, under: str = key, prefer: str | None = None, **given: Any) -> TestResponse:
        headers = {"Idempotency-Key": under} | ({"Prefer": prefer} if prefer else {})
        return client.post(path, json=given, headers=headers)

    return nap


def test_a_repeated_request_gets_the_same_job(nap: Nap) -> None:
    first, before = nap(seconds=1.0), count_jobs()
    again = nap(seconds=1.0)
    assert count_jobs() == before
    assert (again.status_code, again.get_json()) == (202, first.get_json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Location"] == first.headers["Location"]


def test_a_repeated_request_for_an_ended_job_is_answered_alike(nap: Nap) -> None:
    first = nap().get_json()
    ending.cancel(UUID(first["job_id"]))
    again = nap()
    assert (again.status_code, again.get_json()) == (202, {"job_id": first["job_id"], "status": "cancelled"})
    joined = nap("/api/nap")
    assert assert_problem(joined, 409, "cancelled")["job_id"] == first["job_id"]
    assert joined.headers["Idempotent-Replayed"] == "true"


def test_a_key_stands_for_one_request(nap: Nap) -> None:
    nap(seconds=1.0)
    before = count_jobs()
    assert "new key" in assert_problem(nap(seconds=2.0), 422, "idempotency_mismatch")["detail"]
    assert_problem(nap("/api/nap", seconds=2.0), 422, "idempotency_mismatch")
    assert count_jobs() == before


def test_keys_of_different_tools_are_different(client: FlaskClient, picture: str, key: str, nap: Nap) -> None:
    asked = {"image_url": picture, "object_name": "bag"}
    mask = client.post("/api/mask/async", json=asked, headers={"Idempotency-Key": key})
    assert mask.get_json()["job_id"] != nap().get_json()["job_id"]


def test_a_refused_request_does_not_use_its_key_up(nap: Nap) -> None:
    assert_problem(nap(seconds=-1.0), 422, "invalid_input")
    assert nap(seconds=1.0).status_code == 202


def test_a_key_that_is_being_taken_in_is_told_so(nap: Nap, key: str) -> None:
    before = count_jobs()
    with base.engine().begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"nap\n{key}", 0))))
        busy = nap()
        assert assert_problem(busy, 409, "idempotency_in_progress")["retryable"] is True
        assert busy.headers["Retry-After"] == "1"
        assert count_jobs() == before
    assert nap().status_code == 202


def test_fifty_at_once_make_one_job(app: Flask, key: str) -> None:
    before = count_jobs()

    def ask(_: int) -> TestResponse:
        return app.test_client().post("/api/nap/async", json={}, headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert count_jobs() == before + 1
    taken = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.get_json()["job_id"] for answer in taken}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in taken) == 1


def test_quoted_and_bare_are_the_same(nap: Nap, key: str) -> None:
    assert nap(under=f'"{key}"').get_json()["job_id"] == nap(under=key).get_json()["job_id"]


@pytest.mark.parametrize("bad", ["", '""', "x" * 256, "schlüssel", "a\tb"])
def test_a_bad_key_is_refused(nap: Nap, bad: str) -> None:
    before = count_jobs()
    assert "255" in assert_problem(nap(under=bad), 400, "bad_request")["detail"]
    assert count_jobs() == before


def test_an_upload_that_is_repeated_trains_once(client: FlaskClient, key: str) -> None:
    archive = photos.pack_some(4)

    def train(zipped: bytes = archive, **fields: str) -> TestResponse:
        form = {**FIELDS, **fields, "images": (io.BytesIO(zipped), "photos.zip")}
        return client.post("/api/train", data=form, headers={"Idempotency-Key": key})

    first, before = train(), count_jobs()
    again = train()
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert_problem(train(photos.pack_some(5)), 422, "idempotency_mismatch")
    assert_problem(train(steps="7"), 422, "idempotency_mismatch")
    assert count_jobs() == before
    model_id = first.get_json()["model_id"]
    early = client.post("/api/generate", json={"model_id": model_id, "prompt": "a bag"})
    assert assert_problem(early, 409, "model_not_ready")["retryable"] is True
    assert count_jobs() == before
