"""`packshot webhooks listen` says what arrives, and whether it is ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from db.receivers import make_secret
from embedded.listening import Listener
from tests.conftest import Processes

SECRET = make_secret()
BODY = '{"type":"job.completed","data":{}}'


@contextmanager
def listening(secret: str | None, keep: Path | None = None) -> Iterator[tuple[str, list[str]]]:
    said: list[str] = []
    listener = Listener(0, secret, keep, said.append)
    serving = Thread(target=listener.serve_forever, args=(0.01,))
    serving.start()
    yield f"http://127.0.0.1:{listener.server_port}/", said
    listener.shutdown()
    serving.join()
    listener.server_close()


def send(url: str, secret: str = SECRET, name: str = "msg_1", body: str = BODY, late_s: float = 0) -> int:
    at = datetime.now(UTC) - timedelta(seconds=late_s)
    headers = {"webhook-id": name, "webhook-timestamp": str(int(at.timestamp())),
               "webhook-signature": Webhook(secret).sign(name, at, BODY)}  # fmt: skip
    return requests.post(url, data=body, headers=headers, timeout=10).status_code


def test_it_says_whether_the_signature_holds() -> None:
    with listening(SECRET) as (url, said):
        answers = [send(url), send(url), send(url, make_secret(), "msg_2"), send(url, body=BODY + " ", name="msg_3")]
        answers += [send(url, late_s=400, name="msg_4"), requests.post(url, data=b"x", timeout=10).status_code]
    assert answers == [204, 204, 400, 400, 400, 400]
    assert said == [
        "job.completed  msg_1  the signature holds",
        "job.completed  msg_1  the signature holds, again",
        "job.completed  msg_2  the signature does not hold: No matching signature found",
        "job.completed  msg_3  the signature does not hold: No matching signature found",
        "job.completed  msg_4  the signature does not hold: Message timestamp too old",
        "no event of ours  without an id  the signature does not hold: Missing required headers",
    ]


def test_without_a_secret_it_says_so() -> None:
    with listening(None) as (url, said):
        assert send(url) == 204
    assert said == ["job.completed  msg_1  not verified: give the secret in WEBHOOK_SECRET"]


@pytest.mark.parametrize("name", ["msg_1", "../../msg_1"])
def test_it_keeps_what_came_in_its_own_folder(tmp_path: Path, name: str) -> None:
    with listening(SECRET, tmp_path / "kept") as (url, _):
        send(url, name=name)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["kept", "msg_1.body", "msg_1.headers"]
    assert (tmp_path / "kept" / "msg_1.body").read_text() == BODY
    assert (tmp_path / "kept" / "msg_1.headers").read_text().startswith(f"webhook-id: {name}\n")


def test_the_command_ends_when_it_has_heard_enough(processes: Processes) -> None:
    env = {"WEBHOOK_SECRET": SECRET}
    started = processes.start("packshot", "webhooks", "listen", "--port", "0", "--count", "1", env=env)
    started.wait_for(lambda: "Listening on" in started.said())
    url = started.said().split("Listening on ")[1].split(" ")[0]
    assert send(url) == 204
    assert started.popen.wait(30) == 0
    assert started.said().splitlines()[1] == "job.completed  msg_1  the signature holds"
    assert SECRET not in started.said()
