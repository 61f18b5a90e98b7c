"""Whatever is away, frozen or full: the API answers soon and plainly, and what it took in is done later."""

import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from uuid import uuid4

import pytest
import requests
from sqlalchemy import make_url

from tests.api.asking import assert_problem, get, post, serve
from tests.conftest import Processes, wait_until
from tests.gate import Gate, gated
from tests.town import children_of

#: In which a route has to say that the database is away.
SOON_S = 2.0


@pytest.fixture(scope="module")
def database_gate(database: str) -> Iterator[Gate]:
    """Put a gate before PostgreSQL."""
    with gated(make_url(database).port or 0) as gate:
        yield gate


@pytest.fixture(scope="module")
def redis_gate(redis_url: str) -> Iterator[Gate]:
    """Put a gate before Redis."""
    with gated(make_url(redis_url).port or 0) as gate:
        yield gate


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that the API has for its temporary files."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def env(database: str, redis_url: str, database_gate: Gate, redis_gate: Gate) -> dict[str, str]:
    """Name both by way of their gates."""
    return {"DATABASE_URL": through(database, database_gate), "REDIS_URL": through(redis_url, redis_gate)}


@pytest.fixture(scope="module")
def api(starter: Processes, env: dict[str, str], scratch: Path) -> str:
    """Run the API behind both; give where it is reached."""
    return serve(starter, {**env, "TMPDIR": str(scratch)})


@pytest.fixture(autouse=True)
def reopen(database_gate: Gate, redis_gate: Gate, api: str) -> Iterator[None]:
    """Leave everything as it was, and the API aware of it."""
    yield
    database_gate.open()
    redis_gate.open()
    wait_until(lambda: get(f"{api}/api/jobs").status_code == 200)


def through(url: str, gate: Gate) -> str:
    """Give the address of a server by way of its gate."""
    return make_url(url).set(port=gate.port).render_as_string(hide_password=False)


def routes(site: str) -> list[partial[requests.Response]]:
    """List a call of every route that needs the database."""
    some = uuid4()
    paths = ["jobs", f"jobs/{some}", f"jobs/{some}?wait=9", f"nap/{some}", "models", "models/1", "templates",
             f"templates/{some}", f"training-status/{some}", f"naps/{some}.png"]  # fmt: skip
    posts: list[partial[requests.Response]] = [
        partial(post, f"{site}/api/nap", {}), partial(post, f"{site}/api/nap/async", {}),
        partial(post, f"{site}/api/nap", {}, Prefer="wait=9"),
        partial(post, f"{site}/api/nap", {}, Idempotency_Key="k"),
        partial(post, f"{site}/api/templates", {"name": "n", "prompt": "p"}),
        partial(post, f"{site}/api/jobs/{some}/cancel", None),
    ]  # fmt: skip
    return [*(partial(get, f"{site}/api/{path}") for path in paths), *posts]


@pytest.mark.parametrize("way", ["refuse", "silence"])
def test_every_route_says_soon_that_the_database_is_away(api: str, database_gate: Gate, way: str) -> None:
    getattr(database_gate, way)()
    for call in routes(api):
        answer, took_s = timed(call)
        assert took_s < SOON_S, call
        assert assert_problem(answer, 503, "unavailable")["retryable"] is True
        assert int(answer.headers["Retry-After"]) > 0
    database_gate.open()
    wait_until(lambda: get(f"{api}/api/jobs").status_code == 200, 3)


def timed(call: partial[requests.Response]) -> tuple[requests.Response, float]:
    """Make a call; give its answer, and how many seconds it took."""
    began = monotonic()
    answer = call()
    return answer, monotonic() - began


def test_those_who_meet_a_frozen_database_together_all_hear_of_it_at_once(api: str, database_gate: Gate) -> None:
    # The first of them wait for an answer, the others for a connection.
    get(f"{api}/api/jobs")
    database_gate.silence()
    told: list[tuple[requests.Response, float]] = []
    callers = [Thread(target=lambda: told.append(timed(partial(get, f"{api}/api/jobs")))) for _ in range(24)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [answer.status_code for answer, _ in told] == [503] * 24
    assert max(took_s for _, took_s in told) < SOON_S


@pytest.mark.parametrize("way", ["refuse", "silence"])
def test_whoever_waits_for_a_job_hears_that_the_database_has_gone(api: str, database_gate: Gate, way: str) -> None:
    job_id = post(f"{api}/api/nap/async", {}).json()["job_id"]
    waits = {"poll": partial(get, f"{api}/api/jobs/{job_id}?wait=60"), "sync": partial(post, f"{api}/api/nap", {})}
    told: dict[str, requests.Response] = {}
    callers = [Thread(target=lambda name=name: told.update({name: waits[name]()})) for name in waits]
    for caller in callers:
        caller.start()
    wait_until(lambda: newest(api) != job_id)
    began = monotonic()
    getattr(database_gate, way)()
    for caller in callers:
        caller.join()
    assert monotonic() - began < SOON_S + 0.5  # the callers of this test share its processor
    assert_problem(told["poll"], 503, "unavailable")
    # This one was taken in: whoever sent it again would have a second job.
    assert (told["sync"].status_code, told["sync"].json()["status"]) == (202, "pending")
    assert told["sync"].headers["Location"] == f"/api/jobs/{told['sync'].json()['job_id']}"


def newest(api: str) -> str:
    """Find the newest job."""
    return str(get(f"{api}/api/jobs?tool=nap&limit=1").json()["data"][0]["job_id"])


@pytest.mark.parametrize(("way", "first_s"), [("refuse", 1.0), ("silence", 2.9)])
def test_without_redis_a_job_is_taken_in_as_quickly_as_ever(
    api: str, redis_gate: Gate, way: str, first_s: float
) -> None:
    post(f"{api}/api/nap/async", {})
    getattr(redis_gate, way)()
    submit = partial(post, f"{api}/api/nap/async", {})
    assert timed(submit)[1] < first_s
    told = [timed(submit) for _ in range(30)]
    assert {answer.status_code for answer, _ in told} == {202}
    assert sorted(took_s for _, took_s in told)[27] < 0.25  # of a machine that does other things beside


@pytest.fixture
def room(api: str, starter: Processes) -> Iterator[Callable[[int], None]]:
    """Say how many bytes the API may write into a file."""
    assert api
    (worker,) = children_of(starter.started[0].popen.pid)
    most = resource.prlimit(worker, resource.RLIMIT_FSIZE)[1]

    def give(size: int) -> None:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size, most))

    yield give
    give(resource.RLIM_INFINITY)


# A small upload is kept in memory until we put it on disk; a large one, werkzeug puts there.
@pytest.mark.parametrize("size", [300, 900])
@pytest.mark.usefixtures("no_new_job")
def test_an_upload_that_the_disk_has_no_room_for_is_refused(
    api: str, scratch: Path, room: Callable[[int], None], size: int
) -> None:
    form = {"model_name": "bag", "trigger_word": "TOK"}
    train = partial(requests.post, f"{api}/api/train", data=form, files={"images": bytes(size * 1000)}, timeout=60)
    before = list(scratch.iterdir())
    room(100_000)
    answer = train()
    assert assert_problem(answer, 503, "disk_full")["retryable"] is True
    assert int(answer.headers["Retry-After"]) > 0
    assert list(scratch.iterdir()) == before
    room(resource.RLIM_INFINITY)
    assert_problem(train(), 422, "bad_archive")  # now there is room to look inside
