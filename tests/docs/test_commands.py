"""What the pages have somebody type can be typed: the services, options and files that a command names are there."""

import re
import shlex
from collections.abc import Iterator, Sequence

import click
import pytest
from celery.bin.worker import worker
from sqlalchemy import text

from api import openapi
from db.base import quick
from embedded import cli
from tests.deploy import compose
from tests.docs.blocks import ROOT, pages, read_blocks
from tests.tools.seed import OURS

SERVICES = compose.load()["services"]

#: A command within a line of a page, and what stands there for a word of the reader's.
INLINE, OPEN = re.compile(r"`([^`\n]+)`"), re.compile(r"<[^>\n]+>|…")


#: A route, without what stands in its address for a word of the reader's.
ROUTE, BRACES = re.compile(r"`((?:GET|POST|PATCH|DELETE) /[^`?\s]+)"), re.compile(r"[<{][\w:]+[>}]")


class End(click.ParamType[str]):
    """One end of a copy: a path, or a service with one."""

    name = "end"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        service, colon, _ = value.partition(":")
        return SERVICE.convert(service, param, ctx) if colon else value


SERVICE = click.Choice(list(SERVICES))
SOME = click.Argument(["services"], nargs=-1, type=SERVICE)
ONE = [click.Argument(["service"], type=SERVICE), click.Argument(["command"], nargs=-1)]

#: Compose's verbs, as far as the pages need them; that they have these options its own help says.
VERBS: dict[str, list[click.Parameter]] = {
    "up": [click.Option(["-d"], is_flag=True), SOME],
    "stop": [SOME],
    "ps": [SOME],
    "logs": [click.Option(["-f"], is_flag=True), click.Option(["--tail"]), click.Option(["--since"]), SOME],
    "run": [click.Option(["--rm"], is_flag=True), *ONE],
    "exec": [click.Option(["-e"]), *ONE],
    "cp": [click.Argument([end], type=End()) for end in ("source", "target")],
}

PROFILES = {profile for one in SERVICES.values() for profile in one.get("profiles", [])}

COMPOSE = click.Group(
    "docker compose",
    {verb: click.Command(verb, params=params, context_settings={"allow_interspersed_args": False})
     for verb, params in VERBS.items()},
    params=[click.Option(["--profile"], type=click.Choice(sorted(PROFILES))),
            click.Option(["--env-file"], type=click.Choice(["deploy/gpu.env"]))],
)  # fmt: skip


def commands(first: str) -> Iterator[tuple[str, list[str]]]:
    """Find what the pages have one type that begins with these words, in blocks and between backticks."""
    for page in pages():
        shown = [line.split("  ")[0] for block in read_blocks(page) for line in block.code.splitlines()]
        for said in (*shown, *INLINE.findall(page.read_text())):
            if said.startswith(f"{first} "):
                words = shlex.split(OPEN.sub("x", said), comments=True)
                yield f"{page.name}: {said}", words[len(first.split()) :]


def told(first: str) -> pytest.MarkDecorator:
    found = dict(commands(first))
    return pytest.mark.parametrize("words", found.values(), ids=found)


def understand(known: click.Command, words: Sequence[str]) -> click.Context:
    """Read a line as its program does, and run nothing. Raises UsageError."""
    read = known.make_context(known.name, list(words), resilient_parsing=False)
    if isinstance(known, click.Group):
        _, found, rest = known.resolve_command(read, [*read._protected_args, *read.args])
        assert found
        return understand(found, rest)
    return read


@told("docker compose")
def test_compose_knows_what_the_pages_name(words: list[str]) -> None:
    asked = understand(COMPOSE, words)
    program, *arguments = asked.params.get("command") or [""]
    if asked.info_name == "run":  # what our image runs by itself is the packshot command
        assert SERVICES[asked.params["service"]]["image"] == "packshot-house"
        understand(cli.main, [program, *arguments])
    if program.startswith("/deploy/"):
        assert "./deploy:/deploy:ro" in SERVICES[asked.params["service"]]["volumes"]
        assert (ROOT / program[1:]).stat().st_mode & 0o111


@told("packshot")
def test_packshot_knows_what_the_pages_name(words: list[str]) -> None:
    assert understand(cli.main, words)


@told("celery")
def test_celery_knows_the_workers_that_the_pages_start(words: list[str]) -> None:
    app, name, kind, *options = words
    assert (app, name, kind) == ("-A", "tasks.app", "worker")
    assert worker.make_context("worker", options, resilient_parsing=True).params["queues"]


def test_each_route_that_a_page_names_is_there() -> None:
    paths = openapi.describe(list(OURS.values()), "")["paths"]
    there = {f"{verb.upper()} {BRACES.sub('', path)}" for path, verbs in paths.items() for verb in verbs}
    named = {BRACES.sub("", said) for page in pages() for said in ROUTE.findall(page.read_text())}
    assert len(named) > 10
    assert sorted(named - there) == []


def test_postgresql_understands_the_queries_of_the_pages(database: str) -> None:  # noqa: ARG001 - it must run
    asked = [said for page in pages() for said in INLINE.findall(page.read_text()) if said.startswith("SELECT ")]
    with quick().connect() as connection:
        assert [connection.execute(text(query)).keys() for query in asked]


@pytest.mark.parametrize("slip", ["up wroker", "--env-file deploy/cpu.env up", "--profile six up", "cp postgre:/a .",
                                  "logs --tial 5", "upp"])  # fmt: skip
def test_a_slip_is_found_out(slip: str) -> None:
    with pytest.raises(click.UsageError):
        understand(COMPOSE, slip.split())


@pytest.mark.parametrize("slip", ["endpoints video --most 3", "docter"])
def test_a_slip_in_a_command_of_ours_is_found_out(slip: str) -> None:
    with pytest.raises(click.UsageError):
        understand(cli.main, slip.split())
