"""`packshot up`, the whole of it: it comes up, answers, stops in peace, and leaves nobody behind when it is killed."""

import base64
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from embedded import orphans
from embedded.house import House
from embedded.up import screen, table
from tests.conftest import NO_SERVERS

PATIENCE_S = 120


@pytest.fixture
def data(open_folder: Path) -> Iterator[Path]:
    folder = open_folder / "data"
    yield folder
    orphans.end(folder, patience_s=1)


def up(processes: Any, data: Path) -> Any:
    house = processes.start("packshot", "up", env={**NO_SERVERS, "PACKSHOT_DATA_DIR": str(data)})
    house.wait_for(lambda: "Packshot is up." in house.said(), PATIENCE_S)
    return house


def get(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_what_would_frighten_without_need_stays_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    say = screen()
    say("postgres", "2026-11-25 12:49:48.156 UTC [7] FATAL:  the database system is starting up")
    say("valkey", "7:M 25 Nov 2026 12:49:48.082 # WARNING Memory overcommit must be enabled!")
    say("seaweedfs", "  Press Ctrl+C to stop all components")
    say("postgres", "2026-11-25 12:49:48.156 UTC [7] FATAL:  could not write init file: No space left on device")
    say("watch", "the database system is starting up")
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("│")[0].strip() for line in shown] == ["postgres", "watch"]
    assert "No space left" in shown[0]


def test_the_whole_house(processes: Any, data: Path, wait_until: Callable[..., None]) -> None:
    house = up(processes, data)
    ports, secrets = (json.loads((data / name).read_text()) for name in ("ports.json", "secrets.json"))
    assert get(f"http://127.0.0.1:{ports['api']}/health") == 200
    assert f"Open http://127.0.0.1:{ports['api']}/docs" in house.said()
    assert f"password in {data / 'secrets.json'}" in house.said()
    assert secrets["flower"] not in house.said()
    flower = f"http://127.0.0.1:{ports['flower']}/workers"
    wait_until(lambda: get_or_none(flower), 30)
    assert get(flower) == 401
    entry = base64.b64encode(f"packshot:{secrets['flower']}".encode()).decode()
    assert get(flower, Authorization=f"Basic {entry}") == 200
    assert get(f"http://127.0.0.1:{ports['api']}/metrics") == 404  # they have ports of their own
    assert read_names(ports["api_metrics"]) >= {"packshot_request_seconds"}
    assert read_names(ports["metrics"]) >= {"packshot_backlog", "packshot_watchers", "packshot_database_up"}
    house.popen.send_signal(signal.SIGINT)
    assert house.popen.wait(60) == 0, house.said()
    assert not list(orphans.find(data))

    again = up(processes, data)  # on what the first one left
    assert json.loads((data / "secrets.json").read_text()) == secrets
    os.kill(again.popen.pid, signal.SIGKILL)
    wait_until(lambda: not list(orphans.find(data)), 15)


def test_what_to_do_next_fits_eighty_columns() -> None:
    ports, secrets = dict.fromkeys(("api", "flower", "metrics", "api_metrics"), 65535), {"flower": "x" * 24}
    house = House(Path("/srv/packshot"), ports, secrets)
    lines = table(house, shown=True).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("http://127.0.0.1:65535" in line for line in lines) >= 4
    assert "           user packshot, password " + "x" * 24 in lines
    assert "           user packshot, password in /srv/packshot/secrets.json" in table(house, shown=False)


def read_names(port: int) -> set[str]:
    """Name what Prometheus reads there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return {family.name for family in text_string_to_metric_families(answer.read().decode())}


def get_or_none(url: str) -> int | None:
    try:
        return get(url)
    except OSError:
        return None
