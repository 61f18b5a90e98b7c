"""The supervisor over real processes, from the outside: by signals, exit codes and what is left behind."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded import orphans

TOYS = str(Path(__file__).with_name("toys.py"))

#: Becomes ready, and ends when it is told to, with the work that it has begun done.
CALM = """
import pathlib, signal, sys, time
def leave(*_):
    if NAME == "working":
        time.sleep(0.5)
        print("task finished")
    pathlib.Path("ended").open("a").write(NAME + " ")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
pathlib.Path("started").open("a").write(NAME + " ")
pathlib.Path(NAME).touch()
while True: signal.pause()
"""

#: Ignores what it is told.
DEAF = """
import pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(NAME).touch()
while True: signal.pause()
"""

#: Has a child of its own, like a worker with a pool.
PARENT = """
import os, pathlib, signal
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True: signal.pause()
pathlib.Path(NAME).touch()
while True: signal.pause()
"""

#: Comes up, and breaks when the file `break` is there.
BRITTLE = """
import pathlib, sys, time
pathlib.Path(NAME).touch()
while not pathlib.Path("break").exists(): time.sleep(0.01)
print("the cause")
sys.exit(3)
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    orphans.end(folder, patience_s=1)


def up(processes: Any, data: Path, **toys: str) -> Any:
    started = processes.start("python", TOYS, str(data), *(f"{name}={code}" for name, code in toys.items()))
    started.wait_for(lambda: "all up" in started.said())
    return started


def test_stops_in_reverse_order_and_lets_the_running_task_finish(processes: Any, data: Path) -> None:
    house = up(processes, data, first=CALM, working=CALM, last=CALM)
    house.popen.send_signal(signal.SIGINT)
    assert house.popen.wait(20) == 0
    assert (data / "started").read_text() == "first working last "
    assert (data / "ended").read_text() == "last working first "
    assert "working: task finished" in house.said()
    assert not list(orphans.find(data))


def test_one_that_runs_once_is_done_before_the_next_starts(processes: Any, data: Path) -> None:
    once = "import pathlib, time; time.sleep(0.3); pathlib.Path('migrated').touch()"
    after = "import pathlib; assert pathlib.Path('migrated').exists()\n" + CALM
    house = up(processes, data, once=once, after=after)
    assert house.popen.poll() is None


def test_a_second_signal_does_not_wait_and_says_so_in_the_exit_code(processes: Any, data: Path) -> None:
    house = up(processes, data, deaf=DEAF)
    house.popen.send_signal(signal.SIGINT)
    with pytest.raises(Exception, match="timed out"):
        house.popen.wait(0.5)
    house.popen.send_signal(signal.SIGINT)
    assert house.popen.wait(5) == 130
    assert not list(orphans.find(data))


def test_the_death_of_one_stops_all_and_shows_its_last_words(processes: Any, data: Path) -> None:
    house = up(processes, data, calm=CALM, brittle=BRITTLE)
    (data / "break").touch()
    assert house.popen.wait(20) == 1
    assert "brittle ended by itself (exit code 3)" in house.said()
    assert "    the cause" in house.said()
    assert (data / "ended").read_text() == "calm "


def test_one_that_dies_before_it_is_ready_is_not_waited_for(processes: Any, data: Path) -> None:
    house = processes.start("python", TOYS, str(data), "broken=raise SystemExit('no such thing')")
    assert house.popen.wait(20) == 1
    assert "no such thing" in house.said()


def test_kill_of_the_supervisor_leaves_nobody(processes: Any, data: Path, wait_until: Callable[..., None]) -> None:
    house = up(processes, data, parent=PARENT, deaf=DEAF)
    assert len(list(orphans.find(data))) == 3
    os.kill(house.popen.pid, signal.SIGKILL)
    wait_until(lambda: not list(orphans.find(data)), 5)


def test_a_house_whose_guard_is_killed_stops(processes: Any, data: Path) -> None:
    house = up(processes, data, calm=CALM)
    os.kill(guard_of(house.popen.pid), signal.SIGKILL)
    assert house.popen.wait(20) == 1
    assert (data / "ended").read_text() == "calm "


def test_the_next_start_ends_what_was_left_when_the_guard_was_killed_too(processes: Any, data: Path) -> None:
    house = up(processes, data, parent=PARENT)
    guard = guard_of(house.popen.pid)
    os.kill(house.popen.pid, signal.SIGSTOP)  # so that it does not see its guard go
    os.kill(guard, signal.SIGKILL)
    os.kill(house.popen.pid, signal.SIGKILL)
    house.popen.wait()
    left = set(orphans.find(data))
    assert len(left) == 2
    orphans.end(data, patience_s=1)
    assert not list(orphans.find(data))


def test_a_second_house_on_the_same_directory_is_refused(processes: Any, data: Path) -> None:
    first = up(processes, data, calm=CALM)
    second = processes.start("python", TOYS, str(data), f"calm={CALM}")
    assert second.popen.wait(20) == 1
    assert f"Packshot is already running on {data} (process {first.popen.pid})" in second.said()


def guard_of(supervisor: int) -> int:
    """Find the guard among the supervisor's children."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next(int(pid) for pid in children if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes())
