"""Chromium without a window, driven over two pipes: what a page does once somebody has opened it."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lookout import watch

#: The names under which it is installed.
NAMES = ("chromium", "chromium-browser", "google-chrome")

#: Seconds in which a page is there: it costs nothing when all is well, and this machine may be busy.
PATIENCE_S = 120

#: Root cannot use its sandbox; what it opens here is our own.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--remote-debugging-pipe")  # fmt: skip

#: A page is there when all of it is loaded, and when what it asks for itself has come: these words.
READY = "document.readyState == 'complete' && (document.documentElement.outerHTML).includes(%s)"


def find() -> str | None:
    """Give the path of a Chromium, if this machine has one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab of it."""

    def __init__(self, to: int, fro: int) -> None:
        self.to, self.fro = to, fro
        self.heard, self.asked, self.session = b"", 0, ""
        tab = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.tell("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]

    def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for one thing of its protocol, and wait for the answer."""
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self.hear()).get("id") != self.asked:
            pass
        assert "error" not in answer, answer
        return dict(answer["result"])

    def hear(self) -> dict[str, Any]:
        """Read the next thing that it says."""
        while b"\0" not in self.heard:
            more = os.read(self.fro, 65536)
            assert more, "the browser has ended"
            self.heard += more
        said, _, self.heard = self.heard.partition(b"\0")
        return dict(json.loads(said))

    def carry(self, headers: Mapping[str, str]) -> None:
        """Send these with all that is asked from now on."""
        self.tell("Network.enable")
        self.tell("Network.setExtraHTTPHeaders", headers=dict(headers))

    def open(self, url: str, words: str = "") -> None:
        """Open a page, and wait until these words are in it."""
        failed = self.tell("Page.navigate", url=url).get("errorText")
        assert failed in {None, "net::ERR_HTTP_RESPONSE_CODE_FAILURE"}, f"{url}: {failed}"
        until = time.monotonic() + PATIENCE_S
        while not self.look(READY % json.dumps(words)):
            assert time.monotonic() < until, f"{url} has no {words}: {self.look('document.body.innerText')}"
            time.sleep(0.02)
        watch.hear(f"the page {url}", str(self.look("document.documentElement.outerHTML")))

    def look(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        return self.tell("Runtime.evaluate", expression=expression)["result"].get("value")


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Run it with a profile in this folder."""
    program = find()
    assert program
    (theirs_in, to), (fro, theirs_out) = pipe(), pipe()
    command = [program, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    log = os.open(folder / "browser.log", os.O_WRONLY | os.O_CREAT)
    pid = os.posix_spawn(program, command, os.environ, setsid=True, file_actions=[
        (os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4),
        (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2),
    ])  # fmt: skip
    for theirs in (theirs_in, theirs_out, log):
        os.close(theirs)
    try:
        yield Browser(to, fro)
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(to)
        os.close(fro)


def pipe() -> tuple[int, int]:
    """Make a pipe whose ends are neither 3 nor 4, which are those that the browser reads and writes."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
