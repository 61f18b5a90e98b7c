"""The `packshot` command as a stranger meets it: by what it prints and its exit code."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import delete

from db import suspicions
from db.base import transaction
from db.suspicions import Suspicion
from embedded import orphans, ports
from embedded.cli import main
from embedded.house import lived_in
from embedded.ports import Wishes
from tests.canaries import RUNPOD, secret
from tests.conftest import NO_SERVERS
from tests.gateway.gateway import Gateway


def packshot(processes: Any, command: str, data: Path, **env: str) -> tuple[int, str]:
    started = processes.start("packshot", command, env={**NO_SERVERS, "PACKSHOT_DATA_DIR": str(data), **env})
    return started.popen.wait(60), started.said()


def test_the_doctor_finds_a_sound_house_sound(processes: Any, tmp_path: Path) -> None:
    code, said = packshot(processes, "doctor", tmp_path / "data")
    assert code == 0, said
    assert all(line.startswith("ok") for line in said.splitlines())
    assert "postgres (PostgreSQL) 18" in said
    assert not (tmp_path / "data").exists()  # it looks, and touches nothing


def test_the_doctor_says_how_to_mend_a_taken_port(processes: Any, tmp_path: Path) -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = packshot(processes, "doctor", tmp_path / "data", API_PORT=port)
    assert code == 1
    assert f"FAIL  api_port    {port} is taken: end what uses it, or set API_PORT=0." in said


def test_the_doctor_says_that_a_server_of_yours_is_away(processes: Any, tmp_path: Path) -> None:
    port = ports.any_free(set())
    code, said = packshot(processes, "doctor", tmp_path / "data", REDIS_URL=f"redis://127.0.0.1:{port}/0")
    assert code == 1
    assert f"FAIL  REDIS_URL   127.0.0.1:{port} cannot be reached" in said


def test_the_doctor_reaches_servers_of_yours(processes: Any, tmp_path: Path, servers: Mapping[str, str]) -> None:
    code, said = packshot(processes, "doctor", tmp_path / "data", **{**servers, "PACKSHOT_DATA_DIR": str(tmp_path)})
    assert code == 0, said
    assert said.count("answers") == 3


def test_the_doctor_sees_that_a_house_runs_but_its_api_does_not(processes: Any, tmp_path: Path) -> None:
    with lived_in(tmp_path / "data", Wishes()):
        code, said = packshot(processes, "doctor", tmp_path / "data")
    assert code == 1
    assert "FAIL  running     http://127.0.0.1:" in said


def test_the_doctor_asks_runpods_endpoints_how_they_are(processes: Any, tmp_path: Path) -> None:
    gateway = Gateway()
    gateway.start()
    env = gateway.customer_env("mask", "sculpt")
    code, said = packshot(processes, "doctor", tmp_path / "data", **env)
    refused = packshot(processes, "doctor", tmp_path / "data", **{**env, "RUNPOD_API_KEY": secret("wrong")})
    gateway.stop()
    assert code == refused[0] == 1
    assert "ok    runpod      mask on nap-endpoint: workers " in said
    assert "FAIL  runpod      there is no tool sculpt: correct RUNPOD_ENDPOINTS." in said
    assert "401" in refused[1]
    assert "look at RUNPOD_API_KEY" in refused[1]
    assert "Unclosed" not in said + refused[1]


def test_a_watcher_refuses_an_endpoint_for_a_tool_that_is_none(processes: Any, tmp_path: Path) -> None:
    env = {"RUNPOD_ENDPOINTS": "sculpt=abc", "RUNPOD_API_KEY": RUNPOD}
    code, said = packshot(processes, "watch", tmp_path / "data", **env)
    assert code == 1
    assert "Error: There is no tool sculpt; there are train, " in said


@pytest.mark.parametrize("command", ["up", "doctor"])
def test_a_setting_that_makes_no_sense_is_named(processes: Any, tmp_path: Path, command: str) -> None:
    code, said = packshot(processes, command, tmp_path / "data", FLOWER_PORT="many")
    assert code == 1
    assert "FLOWER_PORT: Input should be a valid integer" in said
    assert "Traceback" not in said


def test_up_on_a_directory_in_use_says_so(processes: Any, tmp_path: Path) -> None:
    with lived_in(tmp_path / "data", Wishes()):
        code, said = packshot(processes, "up", tmp_path / "data")
    assert code == 1
    assert said.startswith("Error: Packshot is already running on")


def test_up_on_a_directory_that_cannot_be_says_so(processes: Any) -> None:
    code, said = packshot(processes, "up", Path("/dev/null/data"))
    assert code == 1
    assert said == "Error: /dev/null/data cannot be used (Not a directory): mend it, or set PACKSHOT_DATA_DIR.\n"


def test_up_on_a_taken_port_says_so_and_starts_nothing(processes: Any, tmp_path: Path) -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = packshot(processes, "up", tmp_path / "data", API_PORT=port)
    assert code == 1
    assert said.startswith(f"Error: Port {port} is taken")
    assert not (tmp_path / "data" / "valkey").exists()


@pytest.mark.usefixtures("database")
def test_migrate_finds_everything_done_the_second_time(processes: Any) -> None:
    migrated = processes.start("packshot", "migrate")
    assert migrated.popen.wait(60) == 0, migrated.said()


@pytest.mark.parametrize("command", ["migrate", "keys list", "keys revoke nothing"])
def test_a_command_without_its_database_says_where_it_looked(processes: Any, command: str) -> None:
    port = ports.any_free(set())
    told = f"postgresql://packshot:{secret('nobody')}@127.0.0.1:{port}/packshot"
    started = processes.start("packshot", *command.split(), env={**NO_SERVERS, "DATABASE_URL": told})
    assert started.popen.wait(60) == 1
    assert f"looked for at 127.0.0.1:{port}, where DATABASE_URL leads" in started.said()
    assert "Traceback" not in started.said()
    assert secret("nobody") not in started.said()


def test_listening_says_what_is_in_its_way(processes: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.create_server((ports.HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        wrong = {f"--port {port}": f"Port {port} is not to be had", f"--keep {tmp_path}/file/x": "file/x is not",
                 "--secret whsec_a": "WEBHOOK_SECRET is no secret", "--port 99999": "is not in the range"}  # fmt: skip
        for options, words in wrong.items():
            started = processes.start("packshot", "webhooks", "listen", "--port", "0", *options.split())
            assert started.popen.wait(60) > 0
            assert words in started.said()
            assert "Traceback" not in started.said()


def test_every_server_carries_the_mark_by_which_an_orphan_is_found(servers: Mapping[str, str]) -> None:
    found = {Path(f"/proc/{pid}/exe").readlink().name for pid in orphans.find(Path(servers["PACKSHOT_DATA_DIR"]))}
    assert found == {"valkey-server", "postgres", "weed"}


def test_nothing_listens_beyond_this_machine(servers: Mapping[str, str]) -> None:
    chosen = json.loads((Path(servers["PACKSHOT_DATA_DIR"]) / "ports.json").read_text())
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {int(row[1].split(":")[1], 16): row[1].split(":")[0] for row in rows if row[3] == "0A"}
    ours = {name: listening[port] for name, port in chosen.items() if port in listening}
    assert {"valkey", "postgres", "s3", "filer", "master", "volume"} <= ours.keys()
    assert set(ours.values()) == {"0100007F"}


def test_the_doctor_tells_what_may_have_been_paid_twice(processes: Any, tmp_path: Path, database: str) -> None:
    env = {"DATABASE_URL": database}
    with transaction() as session:
        session.execute(delete(Suspicion))
    _, said = packshot(processes, "doctor", tmp_path / "data", **env)
    assert "ok    paid twice  nothing suspected" in said
    with transaction() as session:
        for what in (suspicions.LATE_OUTCOME, suspicions.SECOND_REMOTE_ID, suspicions.LATE_OUTCOME):
            suspicions.suspect(session, uuid4(), uuid4(), what)
    _, said = packshot(processes, "doctor", tmp_path / "data", **env)
    assert "ok    paid twice  suspected: late_outcome: 2, second_remote_id: 1 (table suspicions)" in said
    with transaction() as session:
        session.execute(delete(Suspicion))


@pytest.mark.parametrize("group", [(), ("keys",), ("webhooks",)])
def test_no_line_of_the_help_is_cut(group: tuple[str, ...]) -> None:
    said = CliRunner().invoke(main, [*group, "--help"]).output
    assert "Commands:" in said
    assert "..." not in said.replace("[ARGS]...", "")


def test_who_has_not_said_where_the_database_is_hears_how(processes: Any, tmp_path: Path) -> None:
    started = processes.start("packshot", "keys", "list", env={**NO_SERVERS, "PACKSHOT_DATA_DIR": str(tmp_path)})
    assert started.popen.wait(60) == 1
    assert f"make up's house is reached after set -a; . {tmp_path}/env; set +a" in started.said()
    assert len(started.said().splitlines()) == 1
