"""`packshot up`: the whole house in one terminal."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from embedded.house import House, lived_in
from embedded.logs import prefixed
from embedded.ports import HOST, Wishes
from embedded.programs import programs
from embedded.servers import servers
from embedded.supervisor import run

TABLE = """
Packshot is up.

  API      {api}
  Flower   {flower}
           user packshot, password {password}
  Metrics  {metrics}/metrics, of the API {api_metrics}
  Data     {data}
  Logs     {logs}

What to do next:
  1. Open {api}/docs and try a tool in the browser.
  2. See all six tools at work in this house, from a second terminal:
       make demo                  on the photos that we ship
       make demo PHOTOS=folder    on 4 to 20 photos of your own
  3. Do it by hand, as "One flow by curl" in README.md:
       B={api}
     A Python or celery of yours reaches this house after
       set -a; . {env}; set +a
  Flower shows the workers and every task meanwhile.

Ctrl-C stops it as soon as the running tasks are done, a second Ctrl-C at once.
"""

#: Lines that stay in the log file, as they would frighten without need: SeaweedFS tells of workers that we do not run,
#: and of a Ctrl-C that is ours; Flower of questions that ours were too new to answer; PostgreSQL of being asked whether
#: it is up yet; Valkey of snapshots that it does not make.
CHATTER = {
    "seaweedfs": re.compile(r"[IW]|\s*Press Ctrl"),
    "flower": re.compile(r"\[W"),
    "postgres": re.compile(r".*FATAL:  the database system is starting up"),
    "valkey": re.compile(r".*WARNING Memory overcommit"),
}


def up(data: Path, wishes: Wishes) -> int:
    """Run everything until somebody asks us to stop. Gives the exit code."""
    given = dict(os.environ)
    with lived_in(data, wishes) as house:
        children = (*servers(house, given), *programs(house, given))
        write_env(house, given)
        return run(children, house.data, screen(), lambda: show(table(house, shown=sys.stdout.isatty())))


def table(house: House, *, shown: bool) -> str:
    """Say where everything is."""
    return TABLE.format(
        api=f"http://{HOST}:{house.ports['api']}",
        flower=f"http://{HOST}:{house.ports['flower']}",
        metrics=f"http://{HOST}:{house.ports['metrics']}",
        api_metrics=f"http://{HOST}:{house.ports['api_metrics']}",
        password=house.password(shown=shown),
        data=house.data,
        logs=house.logs,
        env=house.data / "env",
    )


def write_env(house: House, given: Mapping[str, str]) -> None:
    """Write down how to reach our servers, for a shell to read."""
    kept = house.data / "env"
    kept.touch(mode=0o600)
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in house.defaults(given).items()]
    kept.write_text("".join(lines))


def screen() -> Callable[[str, str], None]:
    """Make what shows a line of a child; each child keeps its colour."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    places: dict[str, int] = {}

    def say(name: str, line: str) -> None:
        if not (name in CHATTER and CHATTER[name].match(line)):
            show(prefixed(name, line, places.setdefault(name, len(places)), colour=colour))

    return say


def show(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)
