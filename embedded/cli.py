"""The `packshot` command."""
# ruff: noqa: PLC0415 - each part imports what it needs when it is called, so that `up` stays small while it runs

import logging
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from embedded.keys import keys
from embedded.ports import Wishes
from settings import Settings, settings
from tools.errors import ToolError


class Plain(click.Group):
    """Puts ordinary mistakes into a sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ToolError as problem:
            raise click.ClickException(f"{problem}{advice()}") from problem
        except ValidationError as problem:
            if problem.title != Settings.__name__:
                raise
            raise click.ClickException(unset(problem)) from problem


def advice() -> str:
    """Say which database was asked, if it was its absence that ended the command."""
    from db.lifeline import lifeline

    if not lifeline.outage:
        return ""
    parts = urlsplit(settings().database_url.get_secret_value())
    asked = f" It was looked for at {parts.hostname}:{parts.port or 5432}"
    if os.environ.get("DATABASE_URL"):
        return f"{asked}, where DATABASE_URL leads: see that it runs there, or correct that."
    return f"{asked}, as DATABASE_URL is not set: make up's house is reached after set -a; . {data_dir()}/env; set +a"


def unset(problem: ValidationError) -> str:
    """Say which settings are wrong."""
    named = [
        [".".join(map(str, error["loc"])).upper(), error["msg"].removeprefix("Value error, ")]
        for error in problem.errors()
    ]
    wrong = [": ".join(part for part in parts if part) for parts in named]  # what is wrong with two has no name
    return "The environment has settings that we cannot use:\n  " + "\n  ".join(wrong)


@click.group(cls=Plain)
def main() -> None:
    """Packshot: composable GPU tools for product imagery, on your own machine.

    Begin with `packshot demo`, which shows it all, or with `packshot up`, which keeps it running.
    """
    # What goes wrong is told in a sentence. Programs that go on say where they log to; others have no log.
    logging.lastResort = logging.NullHandler()


main.add_command(keys)


@main.command()
def up() -> None:
    """Run the whole house in this terminal, until Ctrl-C.

    That is servers, workers, watcher, API and Flower; a server that the environment names is used instead of ours.
    """
    from embedded.up import up as run

    sys.exit(run(data_dir(), wishes()))


@main.command()
def watch() -> None:
    """Look after the jobs; several may run."""
    from tasks.watch import main as run

    run()


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def flower(arguments: tuple[str, ...]) -> None:
    """Run Flower, which shows workers and tasks.

    It takes Flower's own ARGUMENTS, as --port=5555; it needs FLOWER_BASIC_AUTH=user:password, and only looks on.
    """
    from embedded.flower import run

    run(arguments)


@main.command()
def migrate() -> None:
    """Bring the database and the bucket up to date.

    With AUTH=keys it makes the first key, too, and prints it.
    """
    from db import api_keys, schema
    from storage.bucket import bucket

    schema.upgrade()
    bucket().ensure()
    if settings().auth == "keys" and (key := api_keys.create_first()):
        click.echo(f"This is the first key, it may do everything, and nobody can read it again:\n{key}")


@main.command()
@click.option("--production", is_flag=True, help="Look at the servers that the environment names, and be strict.")
def doctor(*, production: bool) -> None:
    """Say what is missing or broken, and how to mend it."""
    from embedded import doctor as ours

    if production:
        from embedded import production as strict

        findings = [*ours.external(), *strict.examine(), *ours.runpod(), *ours.paid_twice(data_dir())]
    else:
        findings = ours.examine(data_dir())
    for finding in findings:
        click.echo(finding)
    sys.exit(not all(finding.ok for finding in findings))


@main.command()
@click.option("--photos", help="Folder with 4 to 20 photos of your own product (PNG, JPEG or WebP).", type=Path)
@click.option("--name", help="What your product is called; without it, the folder's name.")
@click.option("--small", is_flag=True, help="Small pictures and a short video: quicker, for slow machines.")
@click.option("--out", default="var/demo", help="Folder for all that is made.", show_default=True, type=Path)
def demo(*, photos: Path | None, name: str | None, small: bool, out: Path) -> None:
    """Show all six tools at work on photos of a product.

    On photos of ours, or with --photos on your own.
    """
    from embedded import demo_photos
    from embedded.demo import run

    if name and not photos:
        raise click.UsageError("--name goes with --photos: it is your product that it names.")
    product = demo_photos.own(photos.expanduser(), name) if photos else demo_photos.shipped()
    sys.exit(run(data_dir(), wishes(), out, product, small=small))


@main.command()
@click.argument("tools", nargs=-1)
def models(tools: tuple[str, ...]) -> None:
    """Say which models and nodes ENGINE=gpu needs.

    For TOOLS, or for all if left out; with their sizes, and the terms of their licences.
    """
    from embedded.models import describe
    from gpu_handlers.comfyui.manifest import known_tools

    for tool in tools or known_tools():
        for line in describe(tool):
            click.echo(line)


@main.group()
def webhooks() -> None:
    """Try out webhooks."""


@webhooks.command()
@click.option(
    "--port",
    default=9797,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where to listen, on this machine; 0 picks a free one.",
)
@click.option("--secret", envvar="WEBHOOK_SECRET", help="Better as WEBHOOK_SECRET: everybody can see arguments.")
@click.option("--keep", help="Folder for what comes: <id>.body and <id>.headers.", type=Path)
@click.option("--count", help="End after so many.", type=click.IntRange(1))
def listen(*, port: int, secret: str | None, keep: Path | None, count: int | None) -> None:
    """Print what arrives here, and whether its signature holds."""
    from embedded.listening import listen as run

    run(port, secret, keep, count, click.echo)


@main.command()
@click.argument("tools", nargs=-1)
@click.option("--min", "fewest", type=click.IntRange(0), help="Workers that always run, and are always paid for.")
@click.option("--max", "most", type=click.IntRange(0), help="Workers that may run at once; 0 stops the endpoint.")
def endpoints(tools: tuple[str, ...], fewest: int | None, most: int | None) -> None:
    """Show or set how many workers RunPod may run.

    For TOOLS, or for all if left out; it changes nothing without --min or --max.
    """
    from embedded.endpoints import scale

    if not tools and (fewest, most) != (None, None):
        raise click.UsageError("Name the tools whose endpoints shall change.")
    for line in scale(tools, {"workersMin": fewest, "workersMax": most}):
        click.echo(line)


def data_dir() -> Path:
    """Give the data directory, as an absolute path: our programs run elsewhere."""
    return Path(settings().packshot_data_dir).absolute()


def wishes() -> Wishes:
    """Give the ports that the settings ask for, and those that people expect."""
    said = settings()
    fixed = {name: port for name, port in (("api", said.api_port), ("flower", said.flower_port)) if port}
    return Wishes(fixed, {"api": 5000, "flower": 5555})


if __name__ == "__main__":
    main()
