"""Many at once: what they share, what one of them does to the others, and what is known of all."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from threading import Barrier, BrokenBarrierError, Event
from uuid import UUID, uuid4

import pytest

from db import intake
from db.base import soon
from db.intake import Asked
from tasks import watch
from tasks.app import app, sender
from tasks.remotes import wire
from tasks.remotes.lore import Lore
from tasks.remotes.wire import Together
from tests.conftest import wait_until
from tests.db import rows
from tests.nap import NAP
from tools.errors import Unavailable


def ask_all(together: Together[int, int], numbers: list[int]) -> list[int | BaseException]:
    """Ask for all of these at one moment."""

    async def gather() -> list[int | BaseException]:
        return await asyncio.gather(*(together(number) for number in numbers), return_exceptions=True)

    return wire.wait(gather())


def is_still(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop has come to a stop."""
    return not loop.is_running()


def test_threads_that_need_the_loop_first_at_one_moment_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two loops would share one client, which works in its own alone: all that the other asks would fail for ever.
    make, both = asyncio.new_event_loop, Barrier(2)

    def make_slowly() -> asyncio.AbstractEventLoop:
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        return make()

    monkeypatch.setattr(wire, "begin", cache(wire.begin.__wrapped__))
    monkeypatch.setattr(asyncio, "new_event_loop", make_slowly)
    with ThreadPoolExecutor(2) as pool:
        found = [call.result() for call in [pool.submit(wire.loop) for _ in range(2)]]
    for loop in set(found):
        loop.call_soon_threadsafe(loop.stop)
        wait_until(partial(is_still, loop))
        loop.close()
    assert len(set(found)) == 1


def test_those_who_ask_at_once_share_and_each_gets_its_own() -> None:
    goes: list[list[int]] = []

    def double(numbers: list[int]) -> list[int]:
        goes.append(numbers)
        return [2 * number for number in numbers]

    together = Together(double)
    assert ask_all(together, list(range(500))) == [2 * number for number in range(500)]
    assert [len(go) for go in goes] == [200, 200, 100]
    assert ask_all(together, [7]) == [14]


def test_who_comes_while_it_is_done_is_in_the_next_go() -> None:
    goes: list[list[int]] = []
    began, go_on = Event(), Event()

    def keep(numbers: list[int]) -> list[int]:
        goes.append(numbers)
        began.set()
        assert go_on.wait(10)
        return numbers

    async def come_late() -> None:
        together = Together(keep)
        first = asyncio.ensure_future(together(1))
        await asyncio.to_thread(began.wait, 10)
        others = [asyncio.ensure_future(together(number)) for number in (2, 3)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)

    wire.wait(come_late())
    assert goes == [[1], [2, 3]]


def test_one_that_is_at_fault_does_not_hold_up_the_others() -> None:
    def refuse_odd(numbers: list[int]) -> list[int]:
        if any(number % 2 for number in numbers):
            raise ValueError("odd")
        return numbers

    found = ask_all(Together(refuse_odd), [2, 3, 4])
    assert (found[0], found[2]) == (2, 4)
    assert isinstance(found[1], ValueError)


def test_while_the_database_is_away_nobody_tries_one_by_one() -> None:
    tried: list[int] = []

    def fail(numbers: list[int]) -> list[int]:
        tried.append(len(numbers))
        raise Unavailable("away")

    assert all(isinstance(one, Unavailable) for one in ask_all(Together(fail), [1, 2, 3]))
    assert tried == [3]


def test_how_long_a_tool_takes_is_learned_from_ends_and_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("db.runs.usual_s", asked.append)  # it gives None: nobody knows
    monkeypatch.setattr("db.crowd.count", lambda: 7)
    lore = Lore()
    for _ in range(3):
        lore.learn(["nap", "mask"])
    assert (asked, lore.usual_s("nap"), lore.under_way) == (["nap", "mask"], None, 7)
    for age_s in (10, 20, 90):
        lore.see("nap", age_s)
    assert (lore.usual_s("nap"), lore.usual_s("mask")) == (20, None)
    for age_s in (3, 7, 5):
        lore.meet("mask", age_s)
    assert (lore.oldest_s["mask"], lore.oldest_s["nap"]) == (7, 0)


@pytest.fixture(name="queue")
def empty_queue(database: str) -> Iterator[str]:  # noqa: ARG001 - it must run
    """Give the queue of first messages, empty, with nobody at work on it."""
    client = app.backend.client  # type: ignore[attr-defined]  # it is Redis
    client.delete("main")
    rows.forget_all()
    yield "main"
    client.delete("main")
    rows.forget_all()


def accept() -> UUID:
    """Take in a job, and send its message."""
    asked = Asked(uuid4(), NAP, {"seed": 1}, {"seconds": 0.0, "fate": "", "seed": 1}, 1)
    intake.accept(asked)
    assert sender.send(asked.id, "nap", None)
    return asked.id


def test_what_waits_in_a_long_queue_is_not_sent_again_but_what_was_lost_is(queue: str) -> None:
    client = app.backend.client  # type: ignore[attr-defined]  # the same
    first, younger = accept(), accept()
    assert sender.first_waiting(queue) == first
    for job_id in (first, younger):
        rows.change(job_id, due_at=soon(-1))
    watch.claim(10)
    assert 0 < (rows.due_in(younger) or 0) <= 10, "it waits behind the first"
    assert (rows.due_in(first) or 0) > 10, "nobody can tell this of the first: it was taken, to be sent again"
    client.delete(queue)
    assert sender.first_waiting(queue) is None
    rows.change(younger, due_at=soon(-1))
    assert [what for what, _ in watch.claim(10)] == [f"job {younger}"]
