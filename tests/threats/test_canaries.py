"""What is said at DEBUG, by Flower, and of servers that are away: no secret. All else is heard by `tests.lookout`."""

from collections.abc import Iterator

import pytest
import requests
from sqlalchemy import text

from db import api_keys
from db.base import transaction
from embedded.ports import any_free
from settings import Settings
from tests.api.asking import PATIENCE_S, get, post, serve
from tests.canaries import FLOWER, HOOKS, RUNPOD, secret
from tests.conftest import Process, Processes
from tests.lookout import watch
from tests.tasks.house import wait_for_end

#: Every setting that is a secret has one; those of the servers are in our environment.
DEBUG = {
    "RUNPOD_API_KEY": RUNPOD, "HOOK_SECRET": HOOKS, "FLOWER_BASIC_AUTH": f"user:{FLOWER}",
    "PUBLIC_URL": "https://hooks.example", "RUNPOD_BASE_URL": "http://127.0.0.1:9/v2", "LOG_LEVEL": "DEBUG",
}  # fmt: skip

STRANGER = f"packshot_000000000000_{secret('stranger')}"


@pytest.fixture(autouse=True)
def tidy(database: str, s3: object) -> Iterator[None]:  # noqa: ARG001 - they must run
    """Begin where nobody watches."""
    with transaction() as session:
        session.execute(text("TRUNCATE watchers"))
    yield
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, models, api_keys CASCADE"))


def test_no_secret_comes_out_at_debug_nor_in_flower(processes: Processes) -> None:
    key, port = api_keys.create("canary", ["admin"]), any_free(set())
    worker = start_worker(processes)
    flower = processes.start("packshot", "flower", "--address=127.0.0.1", f"--port={port}", env=DEBUG)
    lost = processes.start("packshot", "watch", env={**DEBUG, **gone()})
    site = serve(processes, {**DEBUG, "AUTH": "keys"})
    worker.wait_for(lambda: "ready." in worker.said(), PATIENCE_S)
    flower.wait_for(lambda: "Visit me" in flower.said(), PATIENCE_S)
    work(site, key)
    look_into_flower(f"http://127.0.0.1:{port}")
    lost.wait_for(lambda: "away" in lost.said(), PATIENCE_S)
    watch.hear_folder(processes.folder)
    assert all(" DEBUG " in one.said() for one in processes.started if one is not flower)
    assert watch.tell() == ""


def start_worker(processes: Processes) -> Process:
    """Start one worker for all queues."""
    queues = ("-Q", "main,resume,gpu", "-c", "2", "--without-gossip", "--without-mingle", "-l", "DEBUG")
    return processes.start("celery", "-A", "tests.rig", "worker", *queues, env=DEBUG)


def gone() -> dict[str, str]:
    """Name servers that are not there: what libraries say of that has addresses in it."""
    return {
        "DATABASE_URL": f"postgresql://packshot:{secret('postgres')}@127.0.0.1:{any_free(set())}/none",
        "REDIS_URL": f"redis://:{secret('redis')}@127.0.0.1:{any_free(set())}/0",
    }


def work(site: str, key: str) -> None:
    """Have things done that go well, and things that do not, by who may and by a stranger."""
    ours = {"Authorization": f"Bearer {key}"}
    well, ill, wrong = ({"seconds": 0.1}, {"fate": "fail"}, {"fate": 5})
    jobs = [post(f"{site}/api/nap/async", given, **ours).json()["job_id"] for given in (well, ill)]
    assert post(f"{site}/api/nap/async", wrong, **ours).status_code == 422
    wait_for_end(*jobs)
    for path in (*(f"/api/jobs/{job}" for job in jobs), "/api/jobs", "/openapi.json", "/api/tools"):
        assert get(f"{site}{path}", **ours).ok, path
    assert get(f"{site}/ready").status_code == 503  # nobody watches here
    assert get(f"{site}/api/jobs", Authorization=f"Bearer {STRANGER}").status_code == 401
    assert post(f"{site}/hooks/runpod/{jobs[0]}/x", {}).status_code == 404


def look_into_flower(flower: str) -> None:
    """Look at all that it shows to who has the password; the others see nothing, and nobody is obeyed."""
    for path in ("/", "/tasks", "/broker", "/api/tasks", "/api/workers?refresh=1"):
        assert ask(f"{flower}{path}", ()) == 401, path
        assert ask(f"{flower}{path}") == 200, path
    assert ask(f"{flower}/metrics") == 404
    for path in ("worker/shutdown/x", "worker/pool/grow/x", "task/async-apply/tasks.nap", "task/revoke/x"):
        assert ask(f"{flower}/api/{path}", json={}) == 404, path


def ask(url: str, auth: tuple[str, ...] = ("user", FLOWER), **more: object) -> int:
    """Ask Flower, or tell it; give the status."""
    answer = requests.request("POST" if more else "GET", url, auth=auth or None, timeout=PATIENCE_S, **more)  # type: ignore[arg-type]  # as requests takes them
    return answer.status_code


def test_every_setting_that_is_a_secret_is_kept_as_one() -> None:
    named = {
        name for name in Settings.model_fields if any(word in name for word in ("key", "secret", "password", "url"))
    }
    places = {"s3_endpoint_url", "runpod_base_url", "runpod_rest_url", "public_url", "comfyui_url", "flower_url"}
    for name in named - places:
        assert "SecretStr" in str(Settings.model_fields[name].annotation), name
    shown = repr(Settings.model_validate({"runpod_api_key": RUNPOD, "hook_secret": HOOKS}))
    assert "canary" not in shown
