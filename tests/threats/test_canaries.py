"""Secrets, each with a canary in it, in every setting that has one: none comes out in a log, an answer or a message."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import pytest
import requests
from redis import Redis
from sqlalchemy import text

from db import api_keys
from db.base import transaction
from embedded.ports import any_free
from settings import Settings
from tests.api.asking import PATIENCE_S, serve
from tests.conftest import Processes
from tests.tasks.house import House, wait_for_end

OURS = {
    "RUNPOD_API_KEY": "canary-of-runpod-0123456789",
    "HOOK_SECRET": "canary-of-hooks-0123456789",
    "PUBLIC_URL": "https://hooks.example",
    "RUNPOD_BASE_URL": "http://127.0.0.1:9/v2",
}
FLOWER = "canary-of-flower-0123456789"
STRANGER = "packshot_canary000000_canary-of-a-stranger-0123456789"


@dataclass
class Stage:
    """A house in which each secret can be told from all else that is said."""

    secrets: set[str]
    processes: Processes
    said: list[str] = field(default_factory=list)

    def ask(self, url: str, key: str = "", **more: object) -> requests.Response:
        """Ask, and keep what comes back."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        method = "POST" if "json" in more else "GET"
        answer = requests.request(method, url, headers=headers, timeout=PATIENCE_S, **more)  # type: ignore[arg-type]  # as requests takes them
        self.said.append(f"{answer.headers} {answer.text}")
        return answer

    def leaks(self) -> list[str]:
        """Name each secret that was said, with what stands around it."""
        heard = [*self.said, *(one.said() for one in self.processes.started)]
        return [
            f"{secret}: {one[max(0, one.index(secret) - 200) : one.index(secret) + 200]}"
            for one in heard
            for secret in self.secrets
            if secret in one
        ]


@pytest.fixture
def stage(servers: Mapping[str, str], database: str, processes: Processes) -> Iterator[Stage]:  # noqa: ARG001 - they must run
    passwords = {unquote(urlsplit(servers[name]).password or "") for name in ("DATABASE_URL", "REDIS_URL")}
    ours = {OURS["RUNPOD_API_KEY"], OURS["HOOK_SECRET"], FLOWER, STRANGER}
    yield Stage({*passwords, *ours, servers["AWS_SECRET_ACCESS_KEY"]}, processes)
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, models, api_keys CASCADE"))


def test_no_secret_comes_out_anywhere(stage: Stage, redis_url: str) -> None:
    assert all(len(secret) >= 16 for secret in stage.secrets)
    key = api_keys.create("canary", ["admin"])
    stage.secrets.add(key)
    env = {**OURS, "LOG_LEVEL": "DEBUG"}
    House(stage.processes, gpus=1, env=env, parts=("main", "gpu"))
    site = serve(stage.processes, {**env, "AUTH": "keys"})
    flower = show_flower(stage)
    work(stage, site, key)
    look_into_flower(stage, flower)
    fail_to_connect(stage)
    with Redis.from_url(redis_url) as redis:
        for name in redis.scan_iter():
            stage.said.append(f"{name!r} {redis.dump(name)!r}")
    with transaction() as session:
        for table in ("jobs", "events", "attempts", "api_keys"):
            stage.said += [str(row) for row in session.execute(text(f"SELECT * FROM {table}")).all()]
    assert len(stage.said) > 20
    assert stage.leaks() == []


def work(stage: Stage, site: str, key: str) -> None:
    """Have things done that go well, and things that do not."""
    well, ill, wrong = ({"seconds": 0.1}, {"fate": "fail"}, {"fate": 5})
    jobs = [stage.ask(f"{site}/api/nap/async", key, json=given).json()["job_id"] for given in (well, ill)]
    stage.ask(f"{site}/api/nap/async", key, json=wrong)
    wait_for_end(*jobs)
    for path in (*(f"/api/jobs/{job}" for job in jobs), "/api/jobs", "/openapi.json", "/ready", "/api/tools", "/nope"):
        stage.ask(f"{site}{path}", key)
    stage.ask(f"{site}/api/jobs", STRANGER)
    stage.ask(f"{site}/hooks/runpod/{jobs[0]}/x", json={})


def show_flower(stage: Stage) -> str:
    """Run Flower; give where it is reached."""
    port, env = any_free(set()), {"FLOWER_BASIC_AUTH": f"user:{FLOWER}", **OURS}
    started = stage.processes.start("packshot", "flower", "--address=127.0.0.1", f"--port={port}", env=env)
    started.wait_for(lambda: "Visit me" in started.said())
    return f"http://127.0.0.1:{port}"


def look_into_flower(stage: Stage, flower: str) -> None:
    """Look at all that it shows to who has the password; the others see nothing, and nobody is obeyed."""
    for path in ("/", "/tasks", "/broker", "/api/tasks", "/api/workers?refresh=1"):
        assert stage.ask(f"{flower}{path}").status_code == 401, path
        assert stage.ask(f"{flower}{path}", auth=("user", FLOWER)).status_code == 200, path
    assert stage.ask(f"{flower}/metrics", auth=("user", FLOWER)).status_code == 404
    for path in ("worker/shutdown/x", "worker/pool/grow/x", "task/async-apply/tasks.nap", "task/revoke/x"):
        assert stage.ask(f"{flower}/api/{path}", auth=("user", FLOWER), json={}).status_code == 404, path


def fail_to_connect(stage: Stage) -> None:
    """Let programs look for servers that are not there: what libraries say of that has addresses in it."""
    canary = "canary-of-addresses-0123456789"
    stage.secrets.add(canary)
    gone = {
        "DATABASE_URL": f"postgresql://packshot:{canary}@127.0.0.1:{any_free(set())}/none",
        "REDIS_URL": f"redis://:{canary}@127.0.0.1:{any_free(set())}/0",
        "LOG_LEVEL": "DEBUG",
    }
    watch = stage.processes.start("packshot", "watch", env=gone)
    watch.wait_for(lambda: "away" in watch.said())


def test_every_setting_that_is_a_secret_is_kept_as_one() -> None:
    named = {
        name for name in Settings.model_fields if any(word in name for word in ("key", "secret", "password", "url"))
    }
    places = {"s3_endpoint_url", "runpod_base_url", "runpod_rest_url", "public_url", "comfyui_url", "flower_url"}
    for name in named - places:
        assert "SecretStr" in str(Settings.model_fields[name].annotation), name
    shown = repr(Settings.model_validate({"runpod_api_key": "canary-1", "hook_secret": "canary-2"}))
    assert "canary" not in shown
