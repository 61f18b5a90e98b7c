"""Starts children in order, watches over them, and stops them in reverse order."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from embedded import guard, orphans
from embedded.child import Child
from embedded.logs import Log
from tools.errors import Unavailable

TICK_S = 0.05


class Interrupted(Exception):
    """Somebody asked us to stop before everything was up."""


@dataclass
class Running:
    """A child that was started."""

    child: Child
    process: "subprocess.Popen[bytes]"
    log: Log


@dataclass
class Supervisor:
    """All children of one house. Log files are the truth; the screen follows them."""

    data: Path
    say: Callable[[str, str], None]
    running: list[Running] = field(default_factory=list)
    #: How often somebody asked us to stop; the second time means at once.
    asked: int = 0
    #: Whether a child had to be killed.
    killed: bool = False

    def __post_init__(self) -> None:
        orphans.end(self.data)
        script = Path(guard.__file__)
        self.guard = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
        )

    def ask(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Stop; the form is that of a signal handler."""
        self.asked += 1

    def start(self, *children: Child) -> None:
        """Start children in this order, and wait until all are ready."""
        for child in children:
            self.launch(child)
            if child.first:
                self.wait_for(self.running[-1])
        for each in self.running:
            self.wait_for(each)

    def launch(self, child: Child) -> None:
        """Start one child."""
        child.prepare()
        log = Log(self.data / "log" / f"{child.name}.log")
        now = Running(child, spawn(child, log.path, {orphans.MARK: str(self.data)}), log)
        self.running.append(now)
        self.tell_guard(now, child.lost_signal)

    def wait_for(self, now: Running) -> None:
        """Stay until this child is ready."""
        until = time.monotonic() + now.child.ready_s
        while not self.is_up(now):
            if self.asked:
                raise Interrupted
            if time.monotonic() > until:
                raise Unavailable(self.last_words(now, f"was not ready after {now.child.ready_s:g} s"))
            self.tick()

    def is_up(self, now: Running) -> bool:
        """Tell whether a child has come as far as its successor needs it."""
        if now.child.once:
            return now.process.poll() == 0 or self.must_live()
        return self.must_live() or now.child.ready()

    def must_live(self) -> bool:
        """Raise if a child has ended that should not have; False otherwise."""
        if self.guard.poll() is not None:
            raise Unavailable("The guard of the processes was killed, so everything is stopped.")
        for each in self.running:
            code = each.process.poll()
            if code is not None and not (each.child.once and code == 0):
                raise Unavailable(self.last_words(each, f"ended by itself ({describe(code)})"))
        return False

    def watch(self) -> None:
        """Stay until somebody asks us to stop, or a child ends."""
        while not self.asked:
            self.must_live()
            self.tick()

    def stop(self) -> None:
        """Stop all in reverse order, each with the time that it needs."""
        self.asked = max(self.asked, 1)
        while self.running:
            now = self.running[-1]
            self.end(now)
            self.follow()
            self.running.pop()
        self.guard.communicate()

    def end(self, now: Running) -> None:
        """Ask one child to end, wait for its last task, and sweep up what it left."""
        if now.process.poll() is None:
            now.process.send_signal(now.child.stop_signal)
        until = time.monotonic() + now.child.stop_s
        while now.process.poll() is None and self.asked < 2 and time.monotonic() < until:
            self.tick()
        self.killed |= now.process.poll() is None
        guard.tell(-now.process.pid, signal.SIGKILL)
        now.process.wait()
        self.tell_guard(now, 0)

    def tick(self) -> None:
        """Show what was logged, and rest."""
        self.follow()
        time.sleep(TICK_S)

    def follow(self) -> None:
        """Show the new lines of every log."""
        for each in self.running:
            for line in each.log.new_lines():
                self.say(each.child.name, line)

    def tell_guard(self, now: Running, number: int) -> None:
        """Say whom to end, and how, if we are killed."""
        if self.guard.poll() is None and self.guard.stdin:
            self.guard.stdin.write(f"{now.process.pid} {int(number)}\n".encode())
            self.guard.stdin.flush()

    def last_words(self, now: Running, what: str) -> str:
        """Say what became of a child, and the last that it said itself."""
        self.follow()
        words = "".join(f"\n    {line}" for line in now.log.last_lines(20))
        return f"{now.child.name} {what}. Its last lines ({now.log.path}):{words}"


def spawn(child: Child, log: Path, mark: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own, so that a Ctrl-C on the terminal reaches the supervisor alone."""
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - the command is ours
            child.command, env={**child.env, **mark}, cwd=child.cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True, user=child.owner and child.owner.uid, group=child.owner and child.owner.gid,
            extra_groups=child.owner and [],
        )  # fmt: skip


def describe(code: int) -> str:
    """Put an exit code into words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def run(children: Sequence[Child], data: Path, say: Callable[[str, str], None], announce: Callable[[], None]) -> int:
    """Run these until somebody asks us to stop. Gives the exit code: 130 when not all could end in peace."""
    with supervised(data, say) as supervisor, signals(supervisor):
        try:
            supervisor.start(*children)
            announce()
            supervisor.watch()
        except Interrupted:
            say("packshot", "asked to stop before everything was up")
        say("packshot", "stopping; a running task is finished first, a second Ctrl-C stops at once")
        supervisor.stop()
    return 130 if supervisor.killed else 0


@contextmanager
def supervised(data: Path, say: Callable[[str, str], None]) -> Iterator[Supervisor]:
    """Give a supervisor that stops everything at the end, whatever the end is."""
    supervisor = Supervisor(data, say)
    try:
        yield supervisor
    finally:
        supervisor.stop()


@contextmanager
def signals(supervisor: Supervisor) -> Iterator[None]:
    """Let the signals of the terminal ask the supervisor to stop."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, supervisor.ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def silent(_name: str, _line: str) -> None:
    """Show nothing."""
