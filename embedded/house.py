"""The data directory of the house: who may use it, which ports and passwords it has, where its servers are reached."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedded import ports, seaweed
from embedded.ports import HOST
from tools.errors import Unavailable

#: Which variable replaces which server.
REPLACED_BY = {"valkey": "REDIS_URL", "postgres": "DATABASE_URL", "seaweedfs": "S3_ENDPOINT_URL"}

#: What opens a bucket.
BUCKET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

NAMES = ("valkey", "postgres", *seaweed.PORTS, "api", "flower", "metrics", "api_metrics")


@dataclass(frozen=True)
class House:
    """A data directory and what was settled for it."""

    data: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]

    @property
    def logs(self) -> Path:
        """The folder of `<child>.log`."""
        return self.data / "log"

    def password(self, *, shown: bool) -> str:
        """Tell Flower's password to who sits before a terminal; elsewhere, where it is kept, only where it lies."""
        return self.secrets["flower"] if shown else f"in {self.data / 'secrets.json'}"

    def env(self, given: Mapping[str, str]) -> dict[str, str]:
        """Say where everything is, as environment variables; what is given wins, but for keys of another bucket."""
        own = self.defaults(given)
        keys = {name: own[name] for name in BUCKET_KEYS if name in own}  # a shell may have those of Amazon's
        return {**own, **{name: value for name, value in given.items() if value}, **keys}

    def defaults(self, given: Mapping[str, str]) -> dict[str, str]:
        """Say where our own servers are reached."""
        said = {
            "PACKSHOT_DATA_DIR": str(self.data),
            "DATABASE_URL": f"postgresql://packshot:{self.secrets['postgres']}@{HOST}:{self.ports['postgres']}/packshot",
            "REDIS_URL": f"redis://:{self.secrets['valkey']}@{HOST}:{self.ports['valkey']}/0",
        }
        if not given.get("S3_ENDPOINT_URL"):
            said["S3_ENDPOINT_URL"] = f"http://{HOST}:{self.ports['s3']}"
            said |= zip(BUCKET_KEYS, ("packshot", self.secrets["s3"]), strict=True)
        return said


@contextmanager
def lived_in(data: Path, wishes: ports.Wishes) -> Iterator[House]:
    """Open a house, and keep everybody else out of its data directory meanwhile."""
    with locked(data):
        (data / "log").mkdir(exist_ok=True)
        yield House(data, ports.choose(NAMES, data / "ports.json", wishes), remembered(data / "secrets.json"))


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Make the directory, and hold its lock."""
    refuse_root(data)
    try:
        # Root's servers run as somebody else, who must be able to pass through.
        data.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        lock = (data / "lock").open("a+")
    except OSError as no:
        raise Unavailable(f"{data} cannot be used ({no.strerror}): mend it, or set PACKSHOT_DATA_DIR.") from no
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            lock.seek(0)
            raise Unavailable(f"Packshot is already running on {data} (process {lock.read().strip()}).") from taken
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def refuse_root(data: Path) -> None:
    """Let root leave another user's directory alone: that user could not use it afterwards."""
    if os.geteuid() == 0 and data.exists() and (uid := data.stat().st_uid) != 0:
        raise Unavailable(f"{data} belongs to user {uid}: run as that user, or set PACKSHOT_DATA_DIR.")


def remembered(kept: Path) -> dict[str, str]:
    """Give the passwords, made up once; only the owner can read them."""
    known: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    made = {name: secrets.token_urlsafe(18) for name in ("postgres", "valkey", "s3", "flower")}
    if made.keys() - known.keys():
        kept.touch(mode=0o600)
        kept.write_text(json.dumps({**made, **known}, indent=2) + "\n")
    return {**made, **known}
