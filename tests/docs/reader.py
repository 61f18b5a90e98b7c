"""Somebody who copies the blocks of a page into a shell, and into a Python that he starts from it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from embedded import guard
from embedded.ports import any_free
from settings import Settings
from tests.docs.blocks import Block

#: Seconds that one block may take.
PATIENCE_S = 120

#: Where a page has a receiver listen; another reader's may do so at the same time.
PORT = "9797"

#: Ends what one block prints.
END = "-- end of block --\n"

#: Runs the files that it is told of in one namespace, as somebody does who types them.
PYTHON = f"""
import sys
space = {{"__name__": "__main__"}}
for path in iter(sys.stdin.readline, ""):
    exec(compile(open(path.strip()).read(), path.strip(), "exec"), space)
    print({END!r}, end="", flush=True)
"""


class Session:
    """A program that is given one block after the other."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str]) -> None:
        self.popen = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip

    def tell(self, words: str) -> tuple[str, bool]:
        """Give it a line; what comes of it, and whether it came to its end."""
        impatient = threading.Timer(PATIENCE_S, self.kill)
        impatient.start()
        try:
            print(words, file=self.popen.stdin, flush=True)
            said = list(self.listen())
        finally:
            impatient.cancel()
        return "".join(said).removesuffix(END), bool(said) and said[-1].endswith(END)

    def listen(self) -> Iterator[str]:
        """Read lines to the end of a block, or of the program."""
        assert self.popen.stdout
        for line in self.popen.stdout:
            yield line
            if line.endswith(END):
                return

    def kill(self) -> None:
        """End it and what it has started."""
        guard.tell(-self.popen.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and let go of its pipes."""
        self.kill()
        self.popen.communicate()


def untold() -> dict[str, str]:
    """Give our environment without what tells of a house: a reader knows of his only what the page makes him read."""
    told = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in told}


class Reader:
    """Reads in a folder of his own that looks like the checkout; his house answers at `base`, not at port 5000.

    He listens at a port of his own, as others may read at the same time.
    """

    def __init__(self, checkout: Path, folder: Path, house: Path, base: str) -> None:
        self.folder, self.base = folder, base
        for path in checkout.iterdir():
            if path.name not in {".git", ".local", ".venv", "var"}:
                (folder / path.name).symlink_to(path)
        (folder / ".local").symlink_to(house)
        (folder / ".venv").symlink_to(Path(sys.prefix))
        self.files, self.port = 0, any_free(set())
        self.sessions = {"sh": Session(["sh", "-e"], folder, untold())}

    def run(self, block: Block) -> str:
        """Run a block in the session of its language; what it prints. Fails where it fails."""
        code = block.code.replace("http://127.0.0.1:5000", self.base)
        code = code.replace(PORT, str(self.port)).replace("webhooks listen ", f"webhooks listen --port {self.port} ")
        if block.language == "sh":
            return self.ask("sh", self.shell(self.write(code)), block)
        if "python" not in self.sessions:
            self.sessions["python"] = self.start_python()
        return self.ask("python", str(self.write(code)), block)

    def ask(self, language: str, words: str, block: Block | None) -> str:
        """Tell a session, and fail where it does."""
        said, whole = self.sessions[language].tell(words)
        if not whole:
            where = f"{block.page}:{block.line}" if block else language
            pytest.fail(f"{where} ended or took more than {PATIENCE_S} s:\n{said}")
        return said

    def write(self, code: str) -> Path:
        """Write a block to a file."""
        self.files += 1
        path = self.folder / f"block-{self.files}"
        path.write_text(code)
        return path

    def shell(self, path: Path) -> str:
        """Say to a shell how to run a file in itself."""
        return f". {path} < /dev/null; printf %s '{END}'"

    def start_python(self) -> Session:
        """Start a Python from the shell as it is now: it knows what the shell has exported."""
        kept = self.folder / "exported"
        self.ask("sh", self.shell(self.write(f"env -0 > {kept}")), None)
        env = dict(line.split("=", 1) for line in kept.read_text().split("\0") if line)
        return Session([str(self.folder / ".venv/bin/python"), "-c", PYTHON], self.folder, env)

    def close(self) -> None:
        """End both sessions."""
        for session in self.sessions.values():
            session.close()
