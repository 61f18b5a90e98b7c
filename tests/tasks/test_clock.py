"""A watcher or a worker whose clock is wrong says so, and does not start."""

import time

import pytest

from db import clock
from tests.conftest import Processes
from tools.errors import ClockWrong

#: Lets the clock of a whole process run so many seconds ahead.
AHEAD = "import time; real = time.time; time.time = lambda: real() + {off_s}\n"
WATCH = AHEAD + "from tasks import watch; watch.main()"
WORK = (
    AHEAD
    + "import sys; sys.argv = 'celery -A tasks.app worker -P threads'.split(); import celery.__main__ as c; c.main()"
)

pytestmark = pytest.mark.usefixtures("database")


def test_a_clock_may_be_a_little_off(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    clock.check()
    for off_s in (-4.5, 4.5):
        monkeypatch.setattr(time, "time", lambda off_s=off_s: real() + off_s)
        clock.check()


@pytest.mark.parametrize(("off_s", "word"), [(60, "60 s ahead of"), (-7200, "7200 s behind")])
def test_more_than_that_is_refused(monkeypatch: pytest.MonkeyPatch, off_s: int, word: str) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + off_s)
    with pytest.raises(ClockWrong, match=word):
        clock.check()


@pytest.mark.parametrize("program", [WATCH, WORK], ids=["watcher", "worker"])
def test_a_program_with_a_wrong_clock_does_not_start(processes: Processes, program: str) -> None:
    started = processes.start("python", "-c", program.format(off_s=7200))
    assert started.popen.wait(60) not in {0, None}
    assert "7200 s ahead of the database's: set it by NTP" in started.said()
    assert "ready." not in started.said()
    assert "watching as" not in started.said()
