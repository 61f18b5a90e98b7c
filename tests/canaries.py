"""The secrets that tests use: each carries a mark, by which it is known wherever it comes out."""

import base64
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: How each begins. What else tests call a secret is none, or is there to be refused.
MARK = "canary-of-"


def secret(kind: str) -> str:
    """Make the secret of a kind: the same in every process, and longer than the house asks for."""
    return f"{MARK}{kind}-0123456789"


RUNPOD, HOOKS, FLOWER = map(secret, ("runpod", "hooks", "flower"))


def furnish(data: Path) -> None:
    """Give a data directory passwords with the mark, which nobody can guess, before a house makes up its own."""
    made = {name: f"{MARK}{name}-{secrets.token_hex(12)}" for name in ("postgres", "valkey", "s3", "flower")}
    kept = data / "secrets.json"
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(made))


@dataclass(frozen=True)
class Kind:
    """How a kind of secret is known: by these bytes, and by the form of what begins there."""

    name: str
    begin: bytes
    form: re.Pattern[bytes]


def kinds(*plain: Kind) -> tuple[Kind, ...]:
    """List these kinds, and how they look in Base64, in which Celery writes its messages."""
    words = [(kind, word) for kind in plain for word in encoded(kind.begin)]
    form = rb"%b[\w+/=]*"
    return (*plain, *(Kind(f"{kind.name} in Base64", word, re.compile(form % re.escape(word))) for kind, word in words))


def encoded(begin: bytes) -> Iterator[bytes]:
    """Write these bytes in Base64, wherever in a group of three they stand."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + begin)
        yield whole[-(-before * 8 // 6) : (before + len(begin)) * 8 // 6]


#: Those of our settings, and those that the house makes up, which have a mark of their own.
KINDS = kinds(
    Kind("secret", MARK.encode(), re.compile(rb"canary-of-([\w-]*)")),
    Kind("API key", b"packshot_", re.compile(rb"packshot_[0-9a-f]{12}_[\w-]{16,}")),
    Kind("webhook secret", b"whsec_", re.compile(rb"whsec_[\w+/=]{16,}")),
)


def made_up(folder: Path) -> set[Kind]:
    """List the passwords that houses below a folder have made up, as those do that tests start by our command."""
    said = {
        (f"password of {name}", password.encode())
        for kept in find_files(folder)
        if kept.name == "secrets.json"
        for name, password in json.loads(kept.read_text()).items()
        if MARK not in password
    }
    return {Kind(name, password, re.compile(re.escape(password))) for name, password in said}


def find_files(folder: Path) -> Iterator[Path]:
    """List the files below a folder, of which servers may delete some meanwhile."""
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in sorted(names))
