"""`packshot demo`: all six tools at work on photos of a product, over HTTP and again as a Celery chain."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded import demo_http
from embedded.demo_client import Client
from embedded.demo_report import Report
from embedded.demo_screen import Screen
from embedded.demo_script import script
from embedded.doctor import is_running
from embedded.house import House, lived_in, remembered
from embedded.ports import HOST, Wishes
from embedded.programs import healthy, programs
from embedded.servers import servers
from embedded.supervisor import signals, silent, supervised
from embedded.up import write_env
from settings import settings
from tools.errors import ToolError, Unavailable

#: Seconds that a house which somebody else has just started may need to come up.
PATIENCE_S = 90

#: Raises when the house has come down.
Alive = Callable[[], object]

END = """
All {count} steps of both runs completed in {seconds:.0f} s; every file was opened and decoded to its end.

{table}

  Report: {report}

What to try next: make up (or packshot up), which runs the house until you press Ctrl-C. Then:
  {api}/docs     try the API in the browser
  {flower}          look on in Flower: user packshot, password {password}
  curl {api}/api/jobs
"""


def run(data: Path, wishes: Wishes, out: Path, *, small: bool = False) -> int:
    """Run the demo. Gives the exit code.

    Args:
        data: The data directory; the house that runs on it is used, else one is started, and stopped at the end.
        wishes: The ports of a house that is started.
        out: Where the files and the report go.
        small: Ask for small pictures and a short video.
    """
    screen = Screen()
    # SIGINT too: a shell starts what runs in its background with that one ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with standing(data, wishes, screen) as (house, alive):
            return show(house, alive, Report(out, screen), small=small)
    except KeyboardInterrupt:
        screen.say("Stopped before the end, as you asked.")
        return 130


def show(house: House, alive: Alive, report: Report, *, small: bool) -> int:
    """Do both runs, and say what came of them."""
    begun = time.monotonic()
    try:
        run_both(house, alive, report, small=small)
    except ToolError as problem:
        where = f"Look into the logs in {house.logs}, or ask packshot doctor."
        report.screen.say(f"\n{report.failed()}{problem}\n\n{where}")
        return 1
    report.screen.say(
        END.format(
            count=len(report.steps), seconds=time.monotonic() - begun, table=report.table(),
            report=report.folder / "report.json", api=address(house, "api"), flower=address(house, "flower"),
            password=house.secrets["flower"],
        )
    )  # fmt: skip
    return 0


def run_both(house: House, alive: Alive, report: Report, *, small: bool) -> None:
    """Do the main job over HTTP, then as a chain."""
    os.environ.update(house.env(os.environ))
    settings.cache_clear()
    asked = script(small=small)
    report.screen.say("\nOver HTTP: train, resolve a template, generate, mask, inpaint, video")
    template_id = demo_http.run(report, Client(address(house, "api")), asked, alive)
    report.screen.say("\nThe same as a Celery chain, from Python")
    from embedded import demo_chain  # noqa: PLC0415 - Celery reads the environment that was just set

    demo_chain.run(report, template_id, asked, alive)


def address(house: House, name: str) -> str:
    """Say where a part of the house is reached."""
    return f"http://{HOST}:{house.ports[name]}"


@contextmanager
def standing(data: Path, wishes: Wishes, screen: Screen) -> Iterator[tuple[House, Alive]]:
    """Give the house that runs on this directory, or one of our own for the time being."""
    if is_running(data):
        yield join(data, screen), bool
        return
    given = dict(os.environ)
    with lived_in(data, wishes) as house, supervised(house.data, silent) as supervisor:
        try:
            screen.say(f"Starting PostgreSQL, Valkey, SeaweedFS, workers, watcher, API and Flower (logs: {house.logs})")
            write_env(house, given)
            with screen.live("starting"):
                supervisor.start(*servers(house, given), *programs(house, given))
            screen.say(f"Up: {address(house, 'api')}/docs, and Flower at {address(house, 'flower')}")
            yield house, supervisor.must_live
        finally:
            screen.say("Stopping what was started.")
            with signals(supervisor):
                supervisor.stop()


def join(data: Path, screen: Screen) -> House:
    """Find the house that runs on this directory. Raises Unavailable if it does not come up."""
    house = House(data, json.loads((data / "ports.json").read_text()), remembered(data / "secrets.json"))
    screen.say(f"Packshot runs already on {data}, so that is used: {address(house, 'api')}")
    until = time.monotonic() + PATIENCE_S
    while not healthy(house.ports["api"]):
        if time.monotonic() > until:
            raise Unavailable(f"{address(house, 'api')} does not answer: packshot doctor says more.")
        time.sleep(0.2)
    return house
