"""`packshot demo`: all six tools at work on photos of a product, over HTTP, as a Celery chain, and as one flow."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded import contact_sheet, demo_end, demo_http
from embedded.demo_client import Client
from embedded.demo_photos import Product
from embedded.demo_report import Report
from embedded.demo_screen import Screen, is_terminal
from embedded.demo_script import Script
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


@dataclass(frozen=True)
class Stage:
    """The house that the demo plays in."""

    house: House
    alive: Alive
    #: Whether the house was there before, and stays.
    joined: bool

    def address(self, name: str) -> str:
        """Say where a part of the house is reached."""
        return f"http://{HOST}:{self.house.ports[name]}"


def run(data: Path, wishes: Wishes, out: Path, product: Product, *, small: bool = False) -> int:
    """Run the demo. Gives the exit code.

    Args:
        data: The data directory; the house that runs on it is used, else one is started, and stopped at the end.
        wishes: The ports of a house that is started.
        out: Where the files, the contact sheet and the report go.
        product: What is shown.
        small: Ask for small pictures and a short video.
    """
    screen = Screen()
    # SIGINT too: a shell starts what runs in its background with that one ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if product.remark:
            screen.say(product.remark)
        with standing(data, wishes, screen) as stage:
            report = Report(out, screen, stage.address("api") if stage.joined else None)
            return play(stage, report, Script(product, small))
    except KeyboardInterrupt:
        screen.say("Stopped before the end, as you asked.")
        return 130


def play(stage: Stage, report: Report, script: Script) -> int:
    """Do all runs, and say what came of them."""
    begun = time.monotonic()
    try:
        with report.whole():
            run_all(stage, report, script)
    except ToolError as problem:
        where = f"Look into the logs in {stage.house.logs}, or ask .venv/bin/packshot doctor."
        report.screen.say(f"\n{report.failed()}{problem}\n\n{where}")
        return 1
    demo_end.show(report, time.monotonic() - begun, next_steps(stage))
    return 0


def run_all(stage: Stage, report: Report, script: Script) -> None:
    """Do the main job over HTTP, then as a chain, then as a flow, and draw the contact sheet."""
    os.environ.update(stage.house.env(os.environ))
    settings.cache_clear()
    client = Client(stage.address("api"))
    report.screen.say("\nOver HTTP: train, resolve a template, generate four scenes, mask, inpaint, video")
    template_id = demo_http.run(report, client, script, stage.alive)
    report.screen.say("\nThe same as a Celery chain, from Python")
    from embedded import demo_chain, demo_flow  # noqa: PLC0415 - Celery reads the environment that was just set

    demo_chain.run(report, template_id, script, stage.alive)
    report.screen.say("\nThe same as one flow, and once more with another prompt for inpaint")
    demo_flow.run(report, client, template_id, script, stage.alive)
    with report.screen.bar("contact sheet"):
        contact_sheet.draw(demo_http.tell(report, client, script.product), report.sheet)
    report.write()


def next_steps(stage: Stage) -> list[tuple[str, str]]:
    """Say what a stranger can do next."""
    stays = [] if stage.joined else [("make up", "run the house until Ctrl-C; then:")]
    return [
        ("make demo PHOTOS=DIR", "the same with 4 to 20 photos of your own"),
        *stays,
        (f"{stage.address('api')}/docs", "try the API in the browser"),
        (stage.address("flower"), "look on in Flower: user packshot,"),
        ("", f"password {stage.house.password(shown=is_terminal())}"),
    ]


@contextmanager
def standing(data: Path, wishes: Wishes, screen: Screen) -> Iterator[Stage]:
    """Give the house that runs on this directory, or one of our own for the time being."""
    if is_running(data):
        yield join(data, screen)
        return
    given = dict(os.environ)
    with lived_in(data, wishes) as house, supervised(house.data, silent) as supervisor:
        stage = Stage(house, supervisor.must_live, joined=False)
        try:
            screen.say(f"Starting servers, workers, watcher, API and Flower (logs: {house.logs})")
            write_env(house, given)
            with screen.bar("starting"):
                supervisor.start(*servers(house, given), *programs(house, given))
            screen.say(f"Up: {stage.address('api')}/docs, and Flower at {stage.address('flower')}")
            yield stage
        finally:
            screen.say("\nStopping what was started.")
            with signals(supervisor):
                supervisor.stop()


def join(data: Path, screen: Screen) -> Stage:
    """Find the house that runs on this directory. Raises Unavailable if it does not come up."""
    house = House(data, json.loads((data / "ports.json").read_text()), remembered(data / "secrets.json"))
    stage = Stage(house, bool, joined=True)
    screen.say(f"Packshot runs already on {data}, so that is used: {stage.address('api')}")
    until = time.monotonic() + PATIENCE_S
    while not healthy(house.ports["api"]):
        if time.monotonic() > until:
            raise Unavailable(f"{stage.address('api')} does not answer: .venv/bin/packshot doctor says more.")
        time.sleep(0.2)
    return stage
