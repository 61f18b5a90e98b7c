"""`packshot doctor --production`: what may run on a laptop, and should not where others depend on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from kombu.exceptions import OperationalError
from redis import ResponseError

from db import api_keys, clock, figures, prices, schema, watchers
from db.base import ping
from db.lifeline import lifeline
from embedded.doctor import Finding
from embedded.endpoints import told as told_by
from settings import SHORTEST_SECRET, settings
from storage.bucket import bucket
from tasks.app import app
from tasks.remotes import endpoint, wire
from tools import catalog
from tools.errors import ToolError, Unavailable

#: Seconds that the workers have to answer, and after which they are asked again.
ANSWER_S, ASK_AGAIN_S = 4.0, 0.5

#: The queues of each worker that answered.
Told = dict[str, Sequence[Mapping[str, Any]]]

#: Seconds after which a job that nobody has begun with says that a worker is missing.
OLD_S = 300


def examine() -> list[Finding]:
    """Look at everything that the environment names."""
    return [*secrets(), *asked(), *spending(), *bounds()]


def secrets() -> Iterator[Finding]:
    """Look for passwords that everybody knows or can guess."""
    known = settings()
    told = {
        "DATABASE_URL": urlsplit(known.database_url.get_secret_value()).password or "",
        "REDIS_URL": urlsplit(known.redis_url.get_secret_value()).password or "",
        "AWS_SECRET_ACCESS_KEY": known.aws_secret_access_key.get_secret_value(),
    }
    for name, secret in told.items():
        strong = len(secret) >= SHORTEST_SECRET
        words = (
            "has a password of its own" if strong else "set a password of 16 characters or more: openssl rand -hex 32"
        )
        yield Finding(name, strong, words)


def asked() -> Iterator[Finding]:
    """Ask the servers; whatever does not answer says what is wrong with it."""
    for name, ask in ASKED.items():
        try:
            said = ask()
        except ToolError as error:
            yield Finding(name, ok=False, words=away(name) if lifeline.outage else str(error))
        except (OperationalError, *app.backend.connection_errors) as error:  # type: ignore[attr-defined]  # it is Redis
            yield Finding(name, ok=False, words=f"does not answer ({error}): start Redis, or correct REDIS_URL.")
        else:
            yield Finding(name, ok=not said.startswith("!"), words=said.removeprefix("!"))


def away(name: str) -> str:
    """Say why the database does not let us in; once, as it is the same for all that has to be asked of it."""
    if name == "database":
        return f"{lifeline.outage.why}: start PostgreSQL, or correct DATABASE_URL"
    return "is not to be seen without the database"


def check_database() -> str:
    """Ask the database for a sign of life. Raises Unavailable."""
    ping()
    return "lets us in"


def check_keys() -> str:
    """Look who may ask."""
    if settings().auth == "off":
        return "!AUTH=off answers whoever is on this machine, and nobody else: set AUTH=keys"
    valid = api_keys.count_valid()
    return f"{valid} are valid" if valid else "!none is valid, so nobody may ask: packshot keys create <name>"


def check_schema() -> str:
    """Compare the database's schema with the code's."""
    return (
        "is that of this version" if schema.current() else "!run packshot migrate: the tables are not of this version"
    )


def check_clock() -> str:
    """Compare this machine's clock with the database's. Raises ClockWrong."""
    clock.check()
    return "goes like the database's"


def check_redis() -> str:
    """Look whether Redis keeps what it is told."""
    policy, kept = (config(name) for name in ("maxmemory-policy", "appendonly"))
    if policy not in {None, "noeviction"}:
        return f"!throws messages away when it is full ({policy}): set maxmemory-policy noeviction"
    if kept == "no":
        return "!forgets all at a restart, which costs minutes: set appendonly yes"
    return "keeps what it is told" if policy else "does not tell how it is configured: see to noeviction and appendonly"


def config(name: str) -> str | None:
    """Ask Redis for a setting; None where it does not tell, as many managed ones do."""
    client = app.backend.client  # type: ignore[attr-defined]  # it is Redis
    try:
        found: dict[str, str] = client.config_get(name)
    except ResponseError:
        return None
    return found.get(name)


def check_bucket() -> str:
    """Ask for the bucket, and whether we may write, and delete, and be the first to write. Raises what it says."""
    bucket().ping()
    key = f"uploads/doctor-{uuid4()}"
    bucket().put(key, b"packshot doctor", if_absent=True)
    try:
        bucket().put(key, b"packshot doctor", if_absent=True)
    except FileExistsError:
        return f"{settings().s3_bucket} is there, and takes, keeps and deletes files"
    finally:
        bucket().delete(key)
    return "!takes a file twice in spite of If-None-Match, so no claim would hold: use an S3 that heeds it, like R2"


def check_watchers() -> str:
    """Count the watchers that live."""
    living = watchers.count()
    return f"{living} alive" if living else "!none was seen for half a minute: start packshot watch"


def check_workers() -> str:
    """Ask the workers of which queues they are. Raises what Redis says."""
    own = [tool for tool, each in catalog.TOOLS.items() if each.local is None and tool not in settings().endpoints]
    needed = ("main", "resume", "gpu") if own else ("main", "resume")
    told = ask_workers(needed)
    if missing := [queue for queue in needed if queue not in served_by(told)]:
        why = f"; {', '.join(own)} need it" if missing == ["gpu"] else ""
        return f"!none has answered for {', '.join(missing)}{why}: start one, or look why it is so slow"
    return f"{len(told)} answer for {', '.join(needed)}"


def ask_workers(needed: Sequence[str]) -> Told:
    """Ask workers for their queues, until there is one for each queue that is needed, or for as long as they have."""
    told: Told = {}
    until = monotonic() + ANSWER_S
    while not served_by(told).issuperset(needed) and monotonic() < until:
        told |= app.control.inspect(timeout=ASK_AGAIN_S).active_queues() or {}
    return told


def served_by(told: Told) -> set[str]:
    """Collect the queues of workers."""
    return {queue["name"] for queues in told.values() for queue in queues}


def check_jobs() -> str:
    """Look for jobs that wait as if nobody took them."""
    now = figures.read_now()
    old = {tool: age for tool, _, stage, _, age in now.open_jobs if stage == "queued" and age > OLD_S}
    if old:
        return f"!jobs of {', '.join(sorted(old))} wait for {max(old.values()):.0f} s: is a worker on the queue main?"
    waiting = sum(number for _, remote, state, number in now.attempts if (remote, state) == ("own", "waiting"))
    return f"no job of main waits for long; {waiting} wait for our own GPUs"


ASKED: dict[str, Callable[[], str]] = {
    "database": check_database, "schema": check_schema, "keys": check_keys, "clock": check_clock,
    "redis": check_redis, "bucket": check_bucket, "watchers": check_watchers, "workers": check_workers,
    "jobs": check_jobs,
}  # fmt: skip


def spending() -> Iterator[Finding]:
    """Look whether what is paid for is told: by RunPod to us, and by us to people."""
    known = settings()
    for tool in known.endpoints:
        if prices.per_hour(tool) is None:
            yield Finding("prices", ok=False, words=f"{tool} has no price: set GPU_TYPES and GPU_PRICES.")
    if known.endpoints and not known.public_url.startswith("https://"):
        yield Finding("webhooks", ok=False, words="set PUBLIC_URL to where RunPod reaches the API, by https.")


def bounds() -> Iterator[Finding]:
    """Look whether RunPod may run any worker at all: after a week without work it sets its maximum to 0."""
    for tool, name in settings().endpoints.items():
        try:
            most = told_by(name, wire.wait(endpoint.read_scale(name))).get("workersMax")
        except Unavailable:  # that it does not answer is said where its health is asked
            continue
        if most == 0:
            words = f"RunPod may run no worker for {tool}: packshot endpoints {tool} --max 3"
            yield Finding("endpoints", ok=False, words=words)
    wire.close()
