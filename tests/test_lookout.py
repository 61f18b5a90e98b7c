"""The lookout hears a secret of each kind, wherever it comes out; the tests leak them on purpose."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import psycopg2
import pytest
import requests
from click import command, echo
from click.testing import CliRunner
from flask import Flask
from redis import Redis
from werkzeug.serving import make_server

from embedded.house import lived_in
from embedded.ports import Wishes
from tests import lookout
from tests.canaries import secret
from tests.conftest import Processes
from tests.lookout import Watch

#: A secret of each kind, with what it is called.
LEAKS = {
    "leak secret": secret("leak"),
    "API key": "packshot_0123456789ab_" + "Ab-_" * 10 + "xyz",
    "webhook secret": "whsec_" + base64.b64encode(b"a" * 24).decode(),
}

each = pytest.mark.parametrize("kind", LEAKS)


def said(kind: str) -> str:
    """Say a secret as no program should; by these words the watch over the whole run knows that it is meant."""
    return f"said on purpose: {LEAKS[kind]}, and more"


@contextmanager
def watching() -> Iterator[Watch]:
    """Put one that excuses nothing in the place of the one over the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookout, "watch", Watch(excuses=()))
        yield lookout.watch


def found(watch: Watch, kind: str, source: str) -> bool:
    """Tell whether it was named, by its kind and its source, and not said once more."""
    told = watch.tell()
    named = (f"{kind} came out in ", source, "said on purpose: <HERE>, and more")
    return all(words in told for words in named) and LEAKS[kind] not in told


@each
@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_the_lookout_reads_base64_as_well(kind: str, before: str) -> None:
    watch = Watch(excuses=())
    watch.hear("a message", base64.b64encode(f"{before}{LEAKS[kind]} and more".encode()).decode())
    assert f"{kind.removeprefix('leak ')} in Base64 came out in a message" in watch.tell()


@each
def test_the_lookout_hears_a_program(kind: str, processes: Processes) -> None:
    processes.start("python", "-c", f"import sys; print({said(kind)!r}, file=sys.stderr)").popen.wait(60)
    watch = Watch(excuses=())
    watch.hear_folder(processes.folder)
    assert found(watch, kind, "0-python.log")


def test_the_lookout_knows_what_a_house_made_up(tmp_path: Path) -> None:
    with lived_in(tmp_path / "data", Wishes()) as house:
        (tmp_path / "data" / "log" / "up.log").write_text(f"user packshot, password {house.secrets['flower']}")
    watch = Watch(excuses=())
    watch.hear_folder(tmp_path)
    watch.hear("a page", house.secrets["s3"])
    told = watch.tell()
    assert "password of flower came out in" in told
    assert "password of s3 came out in a page" in told
    assert not any(word in told for word in house.secrets.values())
    (tmp_path / "data" / "log" / "up.log").unlink()


@each
@pytest.mark.usefixtures("servers")
def test_the_lookout_hears_who_is_run_to_the_end(kind: str) -> None:
    with watching() as watch:
        subprocess.run([sys.executable, "-c", f"print({said(kind)!r})"], capture_output=True, check=True)
        CliRunner().invoke(command("tell")(lambda: echo(said(kind))), [])
    assert "what was run as" in next(iter(watch.leaks))[0]
    assert found(watch, kind, "came out in packshot, ")


@each
@pytest.mark.parametrize("where", ["body", "header"])
@pytest.mark.usefixtures("servers")
def test_the_lookout_hears_answers(kind: str, where: str) -> None:
    app = Flask("api")
    app.add_url_rule("/leak", view_func=lambda: (said(kind), {}) if where == "body" else ("", {"X-Told": said(kind)}))
    with watching() as watch, serving(app) as site:
        app.test_client().get("/leak")
        assert found(watch, kind, "GET /leak")
        watch.leaks.clear()
        watch.told = 0
        requests.get(f"{site}/leak", timeout=60)
        assert found(watch, kind, "GET /leak")


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an app."""
    server = make_server("127.0.0.1", 0, app)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def send(servers: Mapping[str, str], words: str) -> None:
    """Send a message, and take it out again."""
    with Redis.from_url(servers["REDIS_URL"]) as redis:
        redis.rpush("lookout", words)
        redis.delete("lookout")


def keep(servers: Mapping[str, str], words: str) -> None:
    """Write a row, and forget it."""
    with closing(psycopg2.connect(servers["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE told (what text)")
        cursor.execute("INSERT INTO told VALUES (%s)", (words,))


@each
@pytest.mark.parametrize(("leak", "source"), [(send, ".aof"), (keep, "log/postgres.log")])
def test_the_lookout_finds_messages_and_rows_that_are_gone(
    servers: Mapping[str, str], kind: str, leak: Callable[[Mapping[str, str], str], None], source: str
) -> None:
    leak(servers, said(kind))
    watch = Watch(excuses=())
    watch.hear_folder(Path(servers["PACKSHOT_DATA_DIR"]))
    assert found(watch, kind, source)


@pytest.mark.parametrize(("kind", "source", "words", "may"), [
    ("API key", "packshot keys create shop", "", True), ("API key", "packshot keys list", "", False),
    ("webhook secret", "POST /api/webhooks", '{"secret":"', True),
    ("webhook secret", "POST /api/webhooks/default/rotate", '{"secret":"', True),
    ("webhook secret", "POST /api/webhooks", '{"name":"', False),
    ("webhook secret", "GET /api/webhooks", '"secret":', False),
    ("webhook secret", "tests/log/postgres.log", "statement: INSERT INTO receivers (secret) VALUES ('", True),
    ("webhook secret", "tests/log/postgres.log", "statement: INSERT INTO events (data) VALUES ('", False),
    ("webhook secret", "tests/valkey/appendonly.aof", "INSERT INTO receivers", False),
])  # fmt: skip
def test_the_lookout_excuses_what_has_a_reason(kind: str, source: str, words: str, *, may: bool) -> None:
    watch = Watch()
    watch.hear(source, f"{words}{LEAKS[kind]}")
    assert (watch.leaks == {}) is may


INNER = f"""
import logging
import pytest

@pytest.mark.parametrize("said", {[said(kind) for kind in LEAKS]!r}, ids=range(3))
def test_prints(said): print(said)

@pytest.mark.parametrize("said", {[said(kind) for kind in LEAKS]!r}, ids=range(3))
def test_logs(said): logging.getLogger("x").warning(said)

def test_has_a_secret_without_a_mark(monkeypatch): monkeypatch.setenv("HOOK_SECRET", "anything")

def test_is_quiet(monkeypatch): monkeypatch.setenv("HOOK_SECRET", {secret("hooks")!r})
"""


def test_a_test_that_says_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "test_inner.py").write_text(INNER)
    command = f"-m pytest -q -p tests.lookout -p no:cacheprovider --show-capture=no --rootdir {tmp_path} {tmp_path}"
    done = subprocess.run([sys.executable, *command.split()], capture_output=True, text=True, check=False)
    assert "8 passed, 7 errors" in done.stdout, done.stdout
    for kind in LEAKS:
        for where in ("stdout", "log"):
            assert f"{kind} came out in Captured {where} call of test_inner.py::test_" in done.stdout
    assert "HOOK_SECRET has no mark" in done.stdout
