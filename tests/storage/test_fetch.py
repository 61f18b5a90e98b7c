"""The safe fetch: a faked DNS, a canary at connect(), and real servers behind one public address."""

import socket
import threading
import time
import tracemalloc
from typing import Any

import pytest
from AntiSSRF import AntiSSRFError  # type: ignore[import-untyped]  # it ships no types

from storage.fetch import MAX_BYTES, fetch
from storage.pictures import clean
from storage.wire import Wire
from tests.storage.internet import LOCATIONS, PUBLIC, Internet, no_fetch_goes_on, refused
from tools.errors import InputUnreachable, NotAnImage, TooLarge

BEFORE_DNS = [
    "http://127.0.0.1:6379/",
    "https://localhost/",
    "https://localhost./",
    "https://redis/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://0/",
    "https://[fe80::1%25eth0]/",
    "file:///etc/passwd",
    "gopher://good.example/",
    "ftp://good.example/x.png",
    "data:image/png;base64,AAAA",
    "jar:https://good.example/x.jar!/x.png",
    "//good.example/x.png",
    "good.example/x.png",
    "",
    "https://",
    "https:///x.png",
    "https://good.example@127.0.0.1/",
    "https://user:password@good.example/",
    "https://@good.example/",
    "http://127.0.0.1\\@good.example",
    "https://good.example/\t",
    "https://good.example/ok HTTP/1.1\r\nHost: x",
    "https://good.example/%0d%0aHost:%20127.0.0.1",
    "https://good.example%00.png/",
    "http://①②⑦.⓪.⓪.①/",
    "https://good。example/",
    "https://good.example:22/",
    "https://good.example:0/",
    "https://good.example:99999/",
    "https://good.example:４４３/",
    "http://good.example:443/",
    "https://[::1/",
    "https://good..example/",
    "https://good.example/" + "x" * 2048,
]
BY_ADDRESS = [
    "http://127.0.0.1/",
    "http://0.0.0.0/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "https://10.0.0.5/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.1.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[fec0::1]/",
    "https://[64:ff9b::a00:5]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://private.example/",
    "https://private.example./",
    "https://mixed.example/",
    "https://six.example/",
]
BY_REDIRECT = [f"http://good.example{path}" for path in LOCATIONS if path.startswith(("/to-", "/loop", "/hop0"))]


@pytest.mark.parametrize("url", BEFORE_DNS)
def test_an_odd_address_is_refused_before_its_name_is_looked_up(internet: Internet, url: str) -> None:
    refused(lambda: fetch(url, allow_http=True))
    assert (internet.asked, internet.dialled) == ([], [])


@pytest.mark.parametrize("url", BY_ADDRESS)
def test_an_address_that_is_not_public_is_never_dialled(internet: Internet, url: str) -> None:
    assert "private network" in refused(lambda: fetch(url, allow_http=True))
    assert internet.dialled == []


@pytest.mark.parametrize("url", BY_REDIRECT)
def test_a_redirect_is_judged_as_an_address_of_the_caller(internet: Internet, url: str) -> None:
    refused(lambda: fetch(url, allow_http=True))
    assert set(internet.dialled) == {PUBLIC}


def test_plain_http_is_refused_unless_it_is_asked_for(internet: Internet) -> None:
    assert "begins with https://" in refused(lambda: fetch("http://good.example/ok"))
    assert internet.asked == []


def test_our_own_host_is_refused(internet: Internet) -> None:
    for url in ("https://good.example/api/images/x.png", "https://GOOD.example./"):
        assert "our own" in refused(lambda: fetch(url, blocked_hosts={"good.example"}))  # noqa: B023  # called at once
    assert internet.asked == []


@pytest.mark.parametrize("host", ["[::127.0.0.1]", "[fec0::1]", "localhost.", "127.1", "2130706433"])
def test_the_wire_holds_even_without_the_check_of_the_address(internet: Internet, host: str) -> None:
    with Wire().session(allow_http=True) as session, pytest.raises(AntiSSRFError):
        session.get(f"http://{host}/", timeout=1)
    assert internet.dialled == []


def test_a_public_file_is_fetched_past_any_proxy(internet: Internet) -> None:
    assert fetch("http://good.example/ok", allow_http=True) == b"fine"
    assert fetch("http://good.example:80/packed", allow_http=True) == b"fine"
    assert internet.dialled == [PUBLIC, PUBLIC]


def test_three_redirects_are_followed_and_each_is_looked_up(internet: Internet) -> None:
    assert fetch("http://good.example/hop1", allow_http=True) == b"fine"
    assert internet.dialled == [PUBLIC] * 4


def test_a_name_that_changes_its_address_leads_to_the_one_that_was_checked(internet: Internet) -> None:
    assert fetch("http://rebinding.example/ok", allow_http=True) == b"fine"
    assert internet.dialled == [PUBLIC]
    assert "private" in refused(lambda: fetch("http://rebinding.example/ok", allow_http=True))
    assert internet.dialled == [PUBLIC]


@pytest.mark.parametrize("path", ["drip", "drip_head"])
def test_a_drip_is_cut_when_the_time_is_over(internet: Internet, path: str) -> None:
    before = time.monotonic()
    sentence = refused(
        lambda: fetch(f"http://good.example/{path}", allow_http=True, wall_s=0.3), error=InputUnreachable
    )
    assert "0.3 s" in sentence
    assert time.monotonic() - before < 2
    no_fetch_goes_on()
    assert internet.dialled == [PUBLIC]


def test_a_name_that_is_looked_up_for_too_long_is_given_up(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(*args: Any) -> list[Any]:
        release.wait(10)
        return internet.look_up(*args)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    refused(lambda: fetch("http://good.example/ok", allow_http=True, wall_s=0.1), error=InputUnreachable)
    release.set()
    no_fetch_goes_on()


@pytest.mark.parametrize("path", ["endless", "bomb"])
def test_a_body_without_end_is_cut_at_the_limit(internet: Internet, path: str) -> None:
    tracemalloc.start()
    try:
        sentence = refused(lambda: fetch(f"http://good.example/{path}", allow_http=True), error=TooLarge)
        assert "20 MB" in sentence
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BYTES
    finally:
        tracemalloc.stop()
    assert internet.dialled == [PUBLIC]


@pytest.mark.parametrize("path", ["none", "short", "lying"])
def test_no_file_or_half_a_file_may_be_tried_again(internet: Internet, path: str) -> None:
    refused(lambda: fetch(f"http://good.example/{path}", allow_http=True), error=InputUnreachable)
    assert internet.dialled == [PUBLIC]


def test_an_unknown_name_may_be_tried_again(internet: Internet) -> None:
    refused(lambda: fetch("https://nobody.example/x.png"), error=InputUnreachable)
    assert internet.dialled == []


def test_a_page_behind_a_picture_s_name_is_no_picture(internet: Internet) -> None:
    page = fetch("http://good.example/html.png", allow_http=True)
    refused(lambda: clean(page), error=NotAnImage)
    assert internet.dialled == [PUBLIC]


def test_https_is_checked_by_the_name_and_not_by_the_address(internet: Internet, tls: None) -> None:
    assert tls is None
    assert fetch("https://good.example/ok") == b"fine"
    internet.names["other.example"] = [[PUBLIC]]
    assert "SSLError" in refused(lambda: fetch("https://other.example/ok"), error=InputUnreachable)


def test_a_drip_over_tls_is_cut_too(internet: Internet, tls: None) -> None:
    assert tls is None
    refused(lambda: fetch("https://good.example/drip_head", wall_s=0.5), error=InputUnreachable)
    no_fetch_goes_on()
    assert internet.dialled == [PUBLIC]
