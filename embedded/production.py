"""`packshot doctor --production`: what may run on a laptop, and should not where others depend on it."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from redis import ResponseError

from db import clock, figures, prices, schema, watchers
from embedded.doctor import Finding
from settings import SHORTEST_SECRET, settings
from storage.bucket import bucket
from tasks.app import app
from tools.errors import ToolError

#: Seconds after which a job that nobody has begun with says that a worker is missing.
OLD_S = 300


def examine() -> list[Finding]:
    """Look at everything that the environment names."""
    return [*secrets(), *asked(), *spending()]


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
            yield Finding(name, ok=False, words=str(error))
        except app.backend.connection_errors as error:  # type: ignore[attr-defined]  # it is Redis
            yield Finding(name, ok=False, words=f"does not answer ({error}): start it, or correct REDIS_URL.")
        else:
            yield Finding(name, ok=not said.startswith("!"), words=said.removeprefix("!"))


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
    """Ask for the bucket. Raises what it says."""
    bucket().ping()
    return f"{settings().s3_bucket} is there"


def check_watchers() -> str:
    """Count the watchers that live."""
    living = watchers.count()
    return f"{living} alive" if living else "!none was seen for half a minute: start packshot watch"


def check_workers() -> str:
    """Look for jobs that wait as if nobody took them."""
    now = figures.read_now()
    old = {tool: age for tool, _, stage, _, age in now.open_jobs if stage == "queued" and age > OLD_S}
    if old:
        return f"!jobs of {', '.join(sorted(old))} wait for {max(old.values()):.0f} s: is a worker on the queue main?"
    waiting = sum(number for _, remote, state, number in now.attempts if (remote, state) == ("own", "waiting"))
    return f"no job of main waits for long; {waiting} wait for our own GPUs"


ASKED: dict[str, Callable[[], str]] = {
    "schema": check_schema, "clock": check_clock, "redis": check_redis, "bucket": check_bucket,
    "watchers": check_watchers, "workers": check_workers,
}  # fmt: skip


def spending() -> Iterator[Finding]:
    """Look whether what is paid for is told: by RunPod to us, and by us to people."""
    known = settings()
    for tool in known.endpoints:
        if prices.per_hour(tool) is None:
            yield Finding("prices", ok=False, words=f"{tool} has no price: set GPU_TYPES and GPU_PRICES.")
    if known.endpoints and not known.public_url.startswith("https://"):
        yield Finding("webhooks", ok=False, words="set PUBLIC_URL to where RunPod reaches the API, by https.")
