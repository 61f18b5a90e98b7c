"""Listeners in one event loop: kept awake, let go when they are gone, and never left waiting by a mistake."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen as listen_to
from sqlalchemy.event import remove

from api import feeds
from api.feeds import Feed, Listener
from api.listening import Listening
from api.streams import MOST_LISTENERS, Streams
from db import listen
from db.base import quick, transaction
from tests.conftest import wait_until
from tests.ear import Ear, hear_out
from tools.errors import Unavailable

PATIENCE_S = 10


class Happenings:
    """What is read of jobs, as the test says."""

    def __init__(self) -> None:
        self.told: dict[UUID, list[dict[str, Any]]] = {}
        self.asked: list[Mapping[UUID, int]] = []
        self.fault: Exception | None = None
        self.page = 200

    def read(self, after: Mapping[UUID, int]) -> dict[UUID, list[dict[str, Any]]]:
        self.asked.append(after)
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        later = {
            wanted: [one for one in self.told.get(wanted, []) if one["id"] > last] for wanted, last in after.items()
        }
        return {wanted: told[: self.page] for wanted, told in later.items() if told}


@pytest.fixture
def happenings() -> Happenings:
    return Happenings()


@pytest.fixture
def streams(
    database: str,  # noqa: ARG001 - it is listened to
    happenings: Happenings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Streams]:
    monkeypatch.setattr(feeds, "ALL_S", 3600)  # nothing is found by looking that should have been rung for
    made = Streams(Listening())
    made.jobs = Feed("", happenings.read, made.jobs.listening, made.places.release)
    yield made
    made.end()


class Guest:
    """Somebody who listens, by a pair of sockets."""

    def __init__(self, streams: Streams, wanted: UUID, last: int = 0, *, chunked: bool = True) -> None:
        self.socket, there = socket.socketpair()
        self.ear = Ear()
        self.ear.status = 200
        if chunked:
            self.ear.headers["transfer-encoding"] = "chunked"
        streams.reserve()
        streams.adopt(Listener(streams.jobs, wanted, last, chunked=chunked), there)

    def hear(self, true: Any) -> None:
        """Hear until it is true, or until this is all."""
        hear_out(self.socket, self.ear, PATIENCE_S, true)
        assert true(self.ear)


def event(number: int, *, ended: bool = False) -> dict[str, Any]:
    return {"id": number, "event": "progress", "ended": ended}


def free(streams: Streams) -> int:
    return streams.places._value


@pytest.mark.parametrize("chunked", [True, False])
def test_a_listener_is_kept_awake(streams: Streams, monkeypatch: pytest.MonkeyPatch, chunked: bool) -> None:  # noqa: FBT001 - pytest gives it
    monkeypatch.setattr(feeds, "PING_S", 0.01)
    guest = Guest(streams, uuid4(), chunked=chunked)
    guest.hear(lambda ear: ear.pings >= 3)
    guest.socket.close()


def test_who_hangs_up_leaves_nothing_behind(streams: Streams) -> None:
    guests = [Guest(streams, uuid4()) for _ in range(3)]
    wait_until(lambda: len(streams.jobs.list_listeners()) == 3)
    assert (len(streams.jobs.listening.bells), free(streams)) == (3, MOST_LISTENERS - 3)
    for guest in guests:
        guest.socket.close()
    wait_until(lambda: free(streams) == MOST_LISTENERS)
    assert (streams.jobs.topics, streams.jobs.listening.bells) == ({}, {})


def test_a_connection_that_is_broken_already_costs_no_place(streams: Streams) -> None:
    sock, other = socket.socketpair()
    other.close()
    sock.close()
    streams.reserve()
    streams.adopt(Listener(streams.jobs, uuid4(), 0, chunked=True), sock)
    wait_until(lambda: free(streams) == MOST_LISTENERS)
    assert streams.jobs.topics == {}


def test_who_takes_nothing_is_let_go(streams: Streams, happenings: Happenings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PING_S", 0.01)
    wanted = uuid4()
    happenings.told[wanted] = [{**event(n), "long": "x" * 100_000} for n in range(1, 50)]
    with Guest(streams, wanted).socket:
        wait_until(lambda: free(streams) == MOST_LISTENERS)


def test_who_was_slow_is_sent_the_rest_as_soon_as_he_takes_it(streams: Streams, happenings: Happenings) -> None:
    wanted = uuid4()
    happenings.told[wanted] = [*({**event(n), "long": "x" * 100_000} for n in range(1, 50)), event(50, ended=True)]
    guest = Guest(streams, wanted)
    wait_until(lambda: any(one.full for one in streams.jobs.list_listeners()))
    guest.hear(lambda ear: ear.whole)
    assert guest.ear.ids == list(range(1, 51))
    guest.socket.close()


def test_all_who_listen_to_one_are_read_for_once_and_each_hears_what_it_has_not_had(
    streams: Streams, happenings: Happenings
) -> None:
    wanted = uuid4()
    guests = [Guest(streams, wanted, last) for last in (0, 1, 2)]
    wait_until(lambda: all(one.ready for one in streams.jobs.list_listeners(wanted)))
    wait_until(streams.jobs.rung.empty)
    happenings.asked.clear()
    happenings.told[wanted] = [event(1), event(2), event(3, ended=True)]
    streams.jobs.ring(wanted)
    for guest, ids in zip(guests, ([1, 2, 3], [2, 3], [3]), strict=True):
        guest.hear(lambda ear: ear.whole)
        assert guest.ear.ids == ids
        guest.socket.close()
    assert {wanted: 0} in happenings.asked


def test_more_than_a_page_is_read_page_by_page(
    streams: Streams, happenings: Happenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PAGE", 3)
    wanted, happenings.page = uuid4(), 3
    happenings.told[wanted] = [*(event(n) for n in range(1, 10)), event(10, ended=True)]
    guest = Guest(streams, wanted)
    guest.hear(lambda ear: ear.whole)
    assert guest.ear.ids == list(range(1, 11))
    guest.socket.close()


def test_a_database_that_is_away_is_asked_again(streams: Streams, happenings: Happenings) -> None:
    wanted = uuid4()
    happenings.told[wanted], happenings.fault = [event(1, ended=True)], Unavailable()
    guest = Guest(streams, wanted)
    guest.hear(lambda ear: ear.whole)
    assert guest.ear.ids == [1]
    guest.socket.close()


def test_what_happens_while_nobody_listens_is_heard_when_somebody_does_again(
    streams: Streams, happenings: Happenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, connect = uuid4(), listen.connect
    guest = Guest(streams, wanted)
    wait_until(lambda: streams.jobs.listening.connected and happenings.asked)

    def connect_late(*channels: str) -> Any:
        happenings.told[wanted] = [event(1, ended=True)]
        return connect(*channels)

    monkeypatch.setattr(listen, "connect", connect_late)
    with transaction() as session:
        session.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    guest.hear(lambda ear: ear.whole)
    guest.socket.close()


def test_what_no_notice_tells_of_is_looked_for_all_the_same(
    streams: Streams, happenings: Happenings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "ALL_S", 0.05)
    wanted = uuid4()
    guest = Guest(streams, wanted)
    with guest.socket:
        wait_until(lambda: streams.jobs.listening.connected and happenings.asked)
        asked = len(happenings.asked)
        wait_until(lambda: len(happenings.asked) > asked + 5)
        happenings.told[wanted] = [event(1, ended=True)]
        guest.hear(lambda ear: ear.whole)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that would be the mistake
def test_whatever_keeps_us_from_listening_we_listen_again(streams: Streams, caplog: pytest.LogCaptureFixture) -> None:
    with Guest(streams, uuid4()).socket:
        wait_until(lambda: streams.jobs.listening.connected)
        listen_to(quick(), "checkout", refuse)
        try:
            wait_until(lambda: not streams.jobs.listening.connected)
        finally:
            remove(quick(), "checkout", refuse)
        assert "nobody thought of that" in caplog.text
        wait_until(lambda: streams.jobs.listening.connected)


def refuse(*_: object) -> None:
    raise RuntimeError("nobody thought of that")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that is what is tried
def test_a_mistake_of_ours_leaves_nobody_waiting(streams: Streams, happenings: Happenings) -> None:
    wanted = uuid4()
    happenings.fault = ValueError("a mistake")
    first = Guest(streams, wanted)
    first.hear(lambda ear: ear.whole)
    happenings.told[wanted] = [event(1, ended=True)]
    second = Guest(streams, wanted)
    second.hear(lambda ear: ear.whole)
    assert second.ear.ids == [1]
    first.socket.close()
    second.socket.close()
