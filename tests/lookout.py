"""Looks for secrets in all that is said while tests run: logs, answers, messages and what is written into rows."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from embedded.child import Child
from settings import Settings
from tests.canaries import KINDS, MARK, Kind, find_files, made_up

#: What programs write into files. Valkey's `.aof` has all that it was ever told, and PostgreSQL's log by `keeping`.
FILES = {".log", ".txt", ".jsonl", ".aof"}

#: Variables that hold a secret, or an address with one. The id of the bucket's key stands in each presigned address.
SECRETS = {"FLOWER_BASIC_AUTH", "RUNPOD_AI_API_KEY"} | {
    name.upper() for name, one in Settings.model_fields.items()
    if "SecretStr" in str(one.annotation) and name != "aws_access_key_id"
}  # fmt: skip

#: Words that stand in the place of one: none at all, and those of the examples, which everybody knows.
NONE = {"", "packshot", "packshot-secret", "packshot-flower"}

#: Bytes before and behind a secret that are told with it.
AROUND = 300


@dataclass(frozen=True)
class Excuse:
    """Where a kind of secret may be said: in this source, behind these words on its line."""

    kinds: str
    source: str
    before: bytes
    why: str

    def holds(self, kind: Kind, source: str, before: bytes) -> bool:
        """Tell whether it does."""
        said = bool(re.search(self.source, source) and re.search(self.before, before))
        return said and bool(re.fullmatch(self.kinds, kind.name))


EXCUSES = (
    Excuse("API key", "^packshot (keys create|migrate)", b"", "a key is shown once, to who makes it"),
    Excuse("webhook secret", r"^POST /api/webhooks(/[\w-]+/rotate)?$", b'"secret":', "so is a webhook's"),
    Excuse("webhook secret", r"log/postgres\.log$", b"(INSERT INTO|UPDATE) receivers", "it is kept, since it signs"),
    Excuse("secret|API key", "^Captured log call of tests/test_journal.py::test_no_secret_is_in_a_line", b"",
           "pytest keeps what is logged as it was before our formatter, which that test is about"),
    Excuse(".*", r"test_the_lookout|log/postgres\.log$|\.aof$", b"said on purpose", "its own tests leak everywhere"),
)  # fmt: skip


@dataclass
class Watch:
    """What was found."""

    excuses: Sequence[Excuse] = EXCUSES
    made_up: set[Kind] = field(default_factory=set)
    leaks: dict[tuple[str, str], str] = field(default_factory=dict)
    told: int = 0

    def hear(self, source: str, said: bytes | str) -> None:
        """Look through something that was said; a source is told of once for each kind."""
        said = said.encode() if isinstance(said, str) else said
        known = (*KINDS, *self.made_up)
        for kind in known:
            found = next(self.find(kind, source, said), None)
            if found and (source, kind.name) not in self.leaks:
                self.leaks[source, kind.name] = hide(describe(kind, source, said, found), known)

    def find(self, kind: Kind, source: str, said: bytes) -> Iterator[re.Match[bytes]]:
        """List where a kind of secret is said without an excuse. To look for its beginning alone is quick."""
        at = said.find(kind.begin)
        while at >= 0:
            if (found := kind.form.match(said, at)) and not self.excuses_it(kind, source, said, at):
                yield found
            at = said.find(kind.begin, at + 1)

    def excuses_it(self, kind: Kind, source: str, said: bytes, at: int) -> bool:
        """Tell whether it may be said here."""
        before = said[said.rfind(b"\n", 0, at) + 1 : at]
        return any(excuse.holds(kind, source, before) for excuse in self.excuses)

    def hear_env(self, env: Mapping[str, str]) -> None:
        """Hold that each secret which somebody is told has the mark, but for words that are none."""
        for name in SECRETS & env.keys():
            password = urlsplit(env[name]).password or "" if name.endswith("_URL") else env[name].rpartition(":")[2]
            said = unquote(password)
            if MARK not in said and said not in NONE:
                self.leaks.setdefault((name, said), f"{name} has no mark: make it by canaries.secret()")

    def hear_folder(self, folder: Path) -> None:
        """Look through what programs wrote below a folder; from now on, also for what a house there made up."""
        self.made_up |= made_up(folder)
        for path in find_files(folder):
            if path.suffix in FILES:
                with suppress(FileNotFoundError):  # a server that runs may have done with it
                    self.hear(str(path.relative_to(folder.parent)), path.read_bytes())

    def tell(self) -> str:
        """Tell of what was found since it was last asked."""
        new = list(self.leaks.values())[self.told :]
        self.told = len(self.leaks)
        return "\n".join(new)


def describe(kind: Kind, source: str, said: bytes, found: re.Match[bytes]) -> str:
    """Say what came out where, with what stands around it."""
    begin, end = found.span()
    around = said[max(0, begin - AROUND) : begin] + b"<HERE>" + said[end : end + AROUND]
    name = f"{found[1].decode().split('-')[0]} " if found.re.groups else ""
    test = os.environ.get("PYTEST_CURRENT_TEST", "the end of it")
    return f"{name}{kind.name} came out in {source}, heard in {test}: {around.decode(errors='replace')}"


def hide(told: str, known: Sequence[Kind]) -> str:
    """Leave the secrets out of what is told of them."""
    words = told.encode()
    for kind in known:
        words = kind.form.sub(f"<{kind.name}>".encode(), words)
    return words.decode()


watch = Watch()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # fmt: skip
    """Fail the test in whose time a secret came out, when all of it is over, its fixtures too."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # pluggy sends what the others made
    if call.when == "call":
        watch.hear_env(os.environ)
    if call.when == "teardown":
        for title, said in report.sections:
            watch.hear(f"{title} of {item.nodeid}", said)
        if told := watch.tell():
            report.outcome, report.longrepr = "failed", f"{report.longreprtext}\n{told}".strip()
    return report  # type: ignore[return-value]  # the same


#: How servers keep all that they are told, in their logs: what a test leaves in tables and queues, the next may delete.
KEEPING = {"postgres": ("-c", "log_statement=all"), "valkey": ("--auto-aof-rewrite-percentage", "0")}


def keeping(child: Child) -> Child:
    """Let a server keep all that it is told, for `hear_folder`."""
    return replace(child, command=(*child.command, *KEEPING.get(child.name, ())))


@contextmanager
def listening() -> Iterator[None]:
    """Hear what comes back over HTTP, from the app in this process, from commands and from programs."""
    import requests  # noqa: PLC0415 - pure tests do without it
    from click.testing import CliRunner  # noqa: PLC0415 - the same
    from werkzeug.test import Client  # noqa: PLC0415 - the same

    with pytest.MonkeyPatch.context() as patch:
        for owner, name, hear in (
            (requests.Session, "send", hear_answer), (Client, "open", hear_app),
            (CliRunner, "invoke", hear_command), (subprocess, "run", hear_program),
        ):  # fmt: skip
            patch.setattr(owner, name, heard(getattr(owner, name), hear))
        yield


def heard(ask: Callable[..., Any], hear: Callable[..., None]) -> Callable[..., Any]:
    """Wrap what asks, so that what comes back is heard."""

    @wraps(ask)
    def ask_and_hear(*args: Any, **kwargs: Any) -> Any:
        answer = ask(*args, **kwargs)
        hear(answer, *args)
        return answer

    return ask_and_hear


def hear_answer(answer: Any, *_: Any) -> None:
    """Hear what a server answered; a stream is left to who reads it."""
    source = f"{answer.request.method} {urlsplit(answer.url).path}"
    watch.hear(f"headers of {source}", str(answer.headers))
    if answer._content_consumed:
        watch.hear(source, answer.content)


def hear_app(answer: Any, *_: Any) -> None:
    """Hear what the app answered in this process; a stream of events is left to who reads it."""
    source = f"{answer.request.method} {answer.request.path}"
    watch.hear(f"headers of {source}", str(answer.headers))
    if answer.mimetype != "text/event-stream" and (answer.is_json or answer.mimetype.startswith("text/")):
        watch.hear(source, answer.get_data())


def hear_command(result: Any, _runner: object, _command: object, arguments: Sequence[str], *_: Any) -> None:
    """Hear what a command of ours printed."""
    watch.hear(" ".join(["packshot", *arguments]), result.output)


def hear_program(done: "subprocess.CompletedProcess[Any]", *_: Any) -> None:
    """Hear what a program printed, if somebody listened."""
    for said in (done.stdout, done.stderr):
        if said:
            watch.hear(f"what was run as {done.args}"[:AROUND], said)
