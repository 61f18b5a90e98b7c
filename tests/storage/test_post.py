"""The door outwards: judged when an address is given and at each sending, and never led astray by a receiver."""

import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from storage.post import LONGEST_PAUSE_S, Answer, admit, post, read_pause
from tests.receiver import Receiver, listening
from tests.storage.internet import PUBLIC, Internet, no_fetch_goes_on, refused
from tests.storage.test_fetch import BEFORE_DNS, BY_ADDRESS
from tools.errors import InputUnreachable


@pytest.fixture(name="receiver")
def listen() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def send(receiver: Receiver, path: str, **more: Any) -> Answer:
    return post(receiver.url(path), b"{}", {}, open_hosts={receiver.host}, **more)


@pytest.mark.parametrize("url", [*BEFORE_DNS, *BY_ADDRESS])
def test_an_address_that_is_not_public_is_refused_when_it_is_given_and_at_each_sending(
    internet: Internet, url: str
) -> None:
    refused(lambda: admit(url))
    refused(lambda: admit(url.replace("http://", "https://"))) if url in BY_ADDRESS else None
    answer = post(url, b"{}", {})
    assert (answer.ok, answer.status, (answer.error or "").split(":")[0]) == (False, None, "blocked")
    assert internet.dialled == []


def test_a_public_address_is_let_in_without_a_connection(internet: Internet) -> None:
    assert admit("https://GOOD.example/hooks?key=1") == "https://good.example"
    assert (internet.asked, internet.dialled) == (["good.example"], [])


def test_a_name_that_nobody_knows_is_refused(internet: Internet) -> None:
    refused(lambda: admit("https://nobody.example/"), error=InputUnreachable)
    assert internet.dialled == []


def test_a_name_that_leads_elsewhere_by_now_is_blocked_at_the_sending(internet: Internet) -> None:
    admit("https://rebinding.example/")
    assert (post("https://rebinding.example/", b"{}", {}).error or "").startswith("blocked")
    assert internet.dialled == []


def test_what_is_sent_over_tls_reaches_the_address_that_was_checked(internet: Internet, tls: None) -> None:
    assert tls is None
    assert post("https://good.example/ok", b"{}", {}) == Answer(200)
    assert "SSLError" in (post("https://rebinding.example/ok", b"{}", {}).error or "")
    assert internet.dialled == [PUBLIC, PUBLIC]


def test_a_host_that_the_house_names_may_be_private_and_no_other_port_of_it(receiver: Receiver) -> None:
    assert admit(receiver.url(), {receiver.host}) == f"http://{receiver.host}"
    assert admit(receiver.url(), {"127.0.0.1"}) == f"http://{receiver.host}"
    assert send(receiver, "/ok") == Answer(200)
    assert receiver.heard()[0].headers["host"] == receiver.host
    refused(lambda: admit("http://127.0.0.1:1/", {receiver.host}))
    refused(lambda: admit(receiver.url().replace("//", "//user:word@"), {receiver.host}))
    refused(lambda: admit(receiver.url().replace("http", "gopher"), {receiver.host}))
    assert (post("http://127.0.0.1:1/", b"{}", {}, open_hosts={receiver.host}).error or "").startswith("blocked")
    assert len(receiver.heard()) == 1


@pytest.mark.parametrize(("path", "status"), [("/taken", 202), ("/fail", 500), ("/gone", 410), ("/redirect", 307)])
def test_the_status_is_what_counts_and_no_redirect_is_followed(receiver: Receiver, path: str, status: int) -> None:
    answer = send(receiver, path)
    assert (answer.status, answer.ok) == (status, status == 202)
    assert [one.path for one in receiver.heard()] == [path]


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_who_takes_too_long_is_cut_off(receiver: Receiver, path: str) -> None:
    before = time.monotonic()
    assert send(receiver, path, wall_s=0.3) == Answer(error="no answer in 0.3 s")
    assert time.monotonic() - before < 2
    no_fetch_goes_on()


@pytest.mark.parametrize("path", ["/die", "/deaf"])
def test_who_dies_before_he_has_answered_has_not_taken_it(receiver: Receiver, path: str) -> None:
    assert (send(receiver, path).error or "").startswith("no connection")


def test_who_has_said_yes_may_die_amid_what_he_says_then(receiver: Receiver) -> None:
    assert send(receiver, "/die_amid") == Answer(200)


def test_who_is_not_there_is_told_apart(receiver: Receiver) -> None:
    receiver.listener.server_close()
    assert send(receiver, "/ok") == Answer(error="no connection (ConnectionError)")


def test_a_pause_is_read_in_seconds_or_as_a_date(receiver: Receiver) -> None:
    assert send(receiver, "/busy") == Answer(429, pause_s=77)
    assert 50 < read_pause(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert read_pause(formatdate(time.time() - 60, usegmt=True)) == 0
    assert read_pause("9" * 30) == LONGEST_PAUSE_S
    for nonsense in ("", "soon", "-5", "1e9", "٣", "Wed, 99 Foo 2026 99:99:99 GMT"):
        assert read_pause(nonsense) == 0
