"""One RunPod endpoint over HTTP: what each failure of a call proves."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest

from embedded.ports import HOST, any_free
from settings import settings
from tasks.remotes import endpoint, wire
from tasks.remotes.endpoint import Gone, Refused, Unclear, retry_after
from tasks.remotes.pace import Tokens, pace_s
from tests.gateway.cloud import Fault
from tests.gateway.gateway import ENDPOINT, Gateway
from tests.gateway.routes import KEY

BODY = {"input": {"attempt_id": "a", "params": {"seed": 1}}}


@pytest.fixture(scope="module", name="gateway")
def run_gateway() -> Iterator[Gateway]:
    """Run RunPod."""
    gateway = Gateway()
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture(name="at")
def reach() -> Iterator[Callable[[str, str], None]]:
    """Let the client speak to another address, or with another key."""
    with pytest.MonkeyPatch.context() as patch:

        def go(url: str, key: str = KEY) -> None:
            patch.setenv("RUNPOD_API_KEY", key)
            patch.setenv("RUNPOD_BASE_URL", url)
            settings.cache_clear()
            wire.close()

        yield go
    settings.cache_clear()
    wire.close()


@pytest.fixture(name="here")
def reach_gateway(gateway: Gateway, at: Callable[[str], None]) -> Gateway:
    """Speak to RunPod."""
    at(gateway.url + "/")
    return gateway


def run() -> endpoint.Reply:
    return wire.wait(endpoint.run(ENDPOINT, BODY))


def test_a_job_is_given_asked_about_and_cancelled(here: Gateway) -> None:
    reply = run()
    assert isinstance(reply, dict)
    remote_id = reply["id"]
    assert wire.wait(endpoint.status(ENDPOINT, remote_id)) == {"id": remote_id, "status": "IN_QUEUE"}
    assert wire.wait(endpoint.cancel(ENDPOINT, remote_id)) == {"id": remote_id, "status": "CANCELLED"}
    health = wire.wait(endpoint.health(ENDPOINT))
    assert isinstance(health, dict)
    assert set(health) == {"jobs", "workers"}
    assert here.accepted()["a"] >= 1


@pytest.mark.usefixtures("here")
def test_what_runpod_does_not_know_is_gone() -> None:
    assert wire.wait(endpoint.status(ENDPOINT, "nothing-u1")) == Gone()
    assert wire.wait(endpoint.cancel(ENDPOINT, "nothing-u1")) == Gone()
    assert isinstance(wire.wait(endpoint.run("a/wrong", BODY)), Refused)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 405, 409, 413, 422, 429])
def test_a_refusal_proves_that_nothing_was_accepted(here: Gateway, status: int) -> None:
    here.fail("run", Fault(status=status, headers={"Retry-After": "7"}))
    reply = run()
    assert isinstance(reply, Refused)
    assert reply.again_s == 7
    assert str(status) in reply.why


@pytest.mark.parametrize("fault", [
    Fault(status=500), Fault(status=502, after=True), Fault(status=503), Fault(status=504), Fault(status=408),
    Fault(drop=True), Fault(drop=True, after=True), Fault(status=200, body=b"<html>"), Fault(status=200, body=b"[]"),
    Fault(status=200, body=b"{}"), Fault(status=200, body=b'{"id": ""}'), Fault(status=200, body=b'{"id": 7}'),
])  # fmt: skip
def test_whatever_else_goes_wrong_proves_nothing(here: Gateway, fault: Fault) -> None:
    here.fail("run", fault)
    assert isinstance(run(), Unclear)


def test_a_post_is_sent_once_whatever_happens(here: Gateway) -> None:
    before = here.cloud.calls["run"]
    here.fail("run", Fault(status=503), Fault(status=429), Fault(drop=True))
    for _ in range(3):
        run()
    assert here.cloud.calls["run"] == before + 3


def test_where_nobody_listens_nothing_was_accepted(at: Callable[[str], None]) -> None:
    at(f"http://{HOST}:{any_free(set())}")
    assert isinstance(run(), Refused)
    at("ftp://nowhere")
    assert isinstance(run(), Refused)


def test_a_server_that_says_nothing_leaves_it_open(at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "TIMEOUT", aiohttp.ClientTimeout(0.2))
    with socket.create_server((HOST, 0)) as silent:
        at(f"http://{HOST}:{silent.getsockname()[1]}")
        assert isinstance(run(), Unclear)


def test_many_looks_at_once_share_a_few_connections(here: Gateway) -> None:
    reply: Any = run()
    seen: list[object] = []
    threads = [
        threading.Thread(
            target=lambda: seen.extend(wire.wait(endpoint.status(ENDPOINT, reply["id"])) for _ in range(25))
        )
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{"id": reply["id"], "status": "IN_QUEUE"}] * 400
    assert len(here.lines) <= 20


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 5),
        ("", 5),
        ("3", 3),
        ("0", 1),
        ("-4", 1),
        ("9999", 60),
        ("soon", 5),
        ("nan", 5),
        ("inf", 60),
        ("1e9", 60),
    ],
)
def test_the_time_to_try_again_is_read_from_anything(header: str | None, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_the_time_to_try_again_may_be_a_date() -> None:
    assert 25 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)) <= 30


def test_looks_are_frequent_about_the_usual_end_and_seldom_else() -> None:
    assert [pace_s(age, 12) for age in (0, 8, 12, 16, 28, 4000)] == [3, 1, 1, 1, 4, 5]


def test_a_crowd_shares_its_looks_and_needs_few_where_ends_are_told() -> None:
    assert [pace_s(60, 60, crowd) for crowd in (1, 800, 8000, 10**6)] == [1, 1, 10, 600]
    assert [pace_s(60, 60, crowd, told=True) for crowd in (1, 10, 1500, 10**6)] == [1, 1, 150, 600]
    assert [pace_s(60, 60, crowd, oldest_s=60) for crowd in (1, 333, 9990, 10**6)] == [1, 1, 30, 600]


def test_where_nobody_knows_how_long_it_takes_the_young_are_looked_at_when_they_are_as_old_as_the_oldest() -> None:
    assert [pace_s(age, 20, 9990, oldest_s=100) for age in (100, 80, 60, 20, 0)] == [30, 30, 40, 49.95, 49.95]


def test_a_crowd_is_looked_at_seldom_before_the_usual_end_and_long_after() -> None:
    assert [pace_s(age, 150, 10_000) for age in (0, 100, 140, 150, 170, 230)] == [50, 25, 12.5, 12.5, 12.5, 20]


def test_tokens_run_out_and_come_back() -> None:
    tokens = Tokens(per_s=50, most=3)
    assert [tokens.take() for _ in range(5)] == [True, True, True, False, False]
    until = time.monotonic() + 5
    while not tokens.take():
        assert time.monotonic() < until
