"""Flower starts with a password alone, and only looks on."""

import re
from collections.abc import Iterator

import pytest
import requests
from flower import urls

from embedded import flower
from embedded.ports import any_free
from tests.conftest import PATIENCE_S, Processes
from tools.errors import InvalidInput

PASSWORD = "a-password-of-flower"


@pytest.mark.parametrize("users", ["", "user", "user:", "user:short", f"user:{PASSWORD},other:", ":"])
def test_without_a_password_that_counts_it_does_not_start(users: str) -> None:
    with pytest.raises(InvalidInput, match="FLOWER_BASIC_AUTH"):
        flower.check(users, [])


def test_a_password_is_no_argument_and_nothing_lets_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="read arguments"):
        flower.check(f"user:{PASSWORD}", [f"--basic-auth=user:{PASSWORD}"])
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    with pytest.raises(InvalidInput, match="UNAUTHENTICATED"):
        flower.check(f"user:{PASSWORD}", [])


def test_all_that_changes_something_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "handlers", list(urls.handlers))
    flower.look_on()
    left = {flower.address(handler) for handler in urls.handlers}
    assert not {one for one in left if re.search("shutdown|pool|apply|send|abort|revoke|limit|timeout|consumer", one)}
    assert any("/api/workers" in one for one in left)
    assert any("/task/" in one for one in left)


@pytest.fixture(scope="module")
def running(servers: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001 - they must run
    """Run Flower; give where it is reached."""
    processes, port = Processes(tmp_path_factory.mktemp("flower")), any_free(set())
    started = processes.start(
        "packshot", "flower", "--address=127.0.0.1", f"--port={port}", env={"FLOWER_BASIC_AUTH": f"user:{PASSWORD}"}
    )
    started.wait_for(lambda: "Visit me" in started.said() or "registered tasks" in started.said().lower())
    yield f"http://127.0.0.1:{port}"
    processes.end()


def test_it_shows_nothing_without_the_password_and_obeys_nobody(running: str) -> None:
    for path in ("/", "/tasks", "/api/workers", "/api/tasks", "/broker"):
        assert requests.get(f"{running}{path}", timeout=PATIENCE_S).status_code == 401
    known = {"auth": ("user", PASSWORD), "timeout": PATIENCE_S}
    assert requests.get(f"{running}/tasks", **known).status_code == 200  # type: ignore[arg-type]  # as requests takes them
    for path in ("/api/worker/shutdown/x", "/api/task/async-apply/tasks.nap", "/api/worker/pool/grow/x",
                 "/api/task/revoke/x", "/api/task/send-task/tasks.nap"):  # fmt: skip
        assert requests.post(f"{running}{path}", json={}, **known).status_code == 404, path  # type: ignore[arg-type]  # the same


def test_packshot_flower_says_what_it_needs(servers: object, tmp_path_factory: pytest.TempPathFactory) -> None:  # noqa: ARG001 - they must run
    processes = Processes(tmp_path_factory.mktemp("flower"))
    refused = processes.start("packshot", "flower", env={"FLOWER_BASIC_AUTH": ""})
    assert refused.popen.wait(PATIENCE_S) == 1
    assert "FLOWER_BASIC_AUTH=user:password" in refused.said()
    processes.end()
