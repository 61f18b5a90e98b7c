"""All that is known of a run, as files: gathered once it is quiet, and read back by whoever judges it."""

import hashlib
import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2.extras
from PIL import Image
from redis import Redis

from tests.chaos import lines
from tests.chaos.lines import Line
from tests.chaos.town import Town
from tests.receiver import Heard

#: Celery's queues, and what it holds for workers.
QUEUES = ("main", "resume", "gpu", "unacked")

#: What nobody may read in a log.
SECRETS = ("RUNPOD_API_KEY", "HOOK_SECRET", "AWS_SECRET_ACCESS_KEY")

#: Addresses that hold a password.
LOCKED = ("DATABASE_URL", "REDIS_URL")

JOBS = """
SELECT id::text, tool, status, stage,
       upstream::text[] AS upstream, members::text[] AS members, drawn::text[] AS drawn,
       (given->>'seed')::bigint AS seed,
       error->>'code' AS code, outcome->'file' AS file, extract(epoch FROM created_at)::float AS created,
       extract(epoch FROM ended_at)::float AS ended, due_at IS NOT NULL AS due
FROM jobs ORDER BY created_at"""
ATTEMPTS = """
SELECT id::text, job_id::text AS job, n, endpoint, remote_id, sends, execution_ms, outcome->'file' AS file,
       extract(epoch FROM created_at)::float AS created, extract(epoch FROM ended_at)::float AS ended,
       stop_at IS NOT NULL AS stopping
FROM attempts ORDER BY created_at"""
EVENTS = "SELECT job_id::text AS job, name, extract(epoch FROM at)::float AS at FROM events ORDER BY id"
SUSPICIONS = "SELECT job_id::text AS job, attempt_id::text AS attempt, what FROM suspicions ORDER BY id"

#: What still has something to do: not a job that waits for what never was sent, and is looked at ever less often.
BUSY = """
SELECT (SELECT count(*) FROM jobs WHERE status = 'processing' OR due_at < now() + interval '1 day'
        AND NOT (stage = 'waiting_for_upstream' AND NOT members <@ upstream)) AS jobs,
       (SELECT count(*) FROM attempts WHERE ended_at IS NULL OR stop_at IS NOT NULL) AS attempts,
       (SELECT count(*) FROM deliveries WHERE due_at < now() + interval '1 minute') AS deliveries"""


@dataclass
class Evidence:
    """A run, as lines by what they tell of."""

    #: What customers did and saw; what went wrong; what RunPod and the handlers wrote down.
    history: list[Line] = field(default_factory=list)
    faults: list[Line] = field(default_factory=list)
    ledger: list[Line] = field(default_factory=list)
    diary: list[Line] = field(default_factory=list)
    #: What a receiver of webhooks heard.
    heard: list[Line] = field(default_factory=list)
    #: Our tables, the bucket, Celery's queues, and secrets in logs, when all was over.
    jobs: list[Line] = field(default_factory=list)
    attempts: list[Line] = field(default_factory=list)
    events: list[Line] = field(default_factory=list)
    suspicions: list[Line] = field(default_factory=list)
    objects: list[Line] = field(default_factory=list)
    left: list[Line] = field(default_factory=list)
    leaks: list[Line] = field(default_factory=list)

    @classmethod
    def load(cls, kept: Path) -> "Evidence":
        """Read it from a folder."""
        return cls(**{name: lines.read(kept / f"{name}.jsonl") for name in cls.__dataclass_fields__})


def ask(town: Town, statement: str) -> list[Line]:
    """Ask the database."""
    connection = psycopg2.connect(town.env["DATABASE_URL"])
    try:
        with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()]
    finally:
        connection.close()


def waiting(town: Town) -> dict[str, int]:
    """Count the messages that wait, or are held for a worker."""
    with Redis.from_url(town.env["REDIS_URL"]) as client:
        return {name: int(client.hlen(name) if name == "unacked" else client.llen(name)) for name in QUEUES}


def settle(town: Town, patience_s: float) -> bool:
    """Wait until nobody has anything to do any more; False if that does not come."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        busy = ask(town, BUSY)[0]
        if not any(busy.values()) and not any(waiting(town).values()):
            return True
        time.sleep(0.5)
    return False


def gather(town: Town, kept: Path, heard: Iterable[Heard]) -> None:
    """Write down what there is, beside what the programs wrote themselves."""
    lines.write(kept / "heard.jsonl", ({"at": one.at, "id": one.id, "type": one.told["type"],
                                        "job": one.told["data"]["job_id"]} for one in heard))  # fmt: skip
    for name, statement in (("jobs", JOBS), ("attempts", ATTEMPTS), ("events", EVENTS), ("suspicions", SUSPICIONS)):
        lines.write(kept / f"{name}.jsonl", ask(town, statement))
    lines.write(kept / "objects.jsonl", stored())
    lines.write(kept / "left.jsonl", ({"queue": name, "messages": count} for name, count in waiting(town).items()))
    asked = ask(town, "SELECT id, secret FROM receivers")
    signing = {f"the secret of webhook {row['id']}": str(row["secret"]) for row in asked}
    lines.write(kept / "leaks.jsonl", leaks(kept, secrets(town.env) | signing))


def secrets(env: Mapping[str, str]) -> dict[str, str]:
    """Name the secrets of an environment."""
    passwords = {f"the password in {name}": urlsplit(env[name]).password for name in LOCKED}
    return {name: env[name] for name in SECRETS} | {name: word for name, word in passwords.items() if word}


def stored() -> Iterator[Line]:
    """List the bucket; of pictures, say whether they can be read."""
    from storage.bucket import bucket  # noqa: PLC0415 - settings are read only now that the environment names it

    pages = bucket()._client.get_paginator("list_objects_v2").paginate(Bucket=bucket().name)
    for page in pages:
        for one in page.get("Contents", []):
            body = bucket().read(one["Key"], 2**24)
            told = {"key": one["Key"], "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            yield {**told, "decodes": decodes(one["Key"], body)}


def decodes(key: str, body: bytes) -> bool:
    """Tell whether it is what its name says."""
    try:
        if key.endswith(".png"):
            Image.open(io.BytesIO(body)).load()
        else:
            json.loads(body)
    except (OSError, ValueError):
        return False
    return True


def leaks(kept: Path, known: Mapping[str, str]) -> Iterator[Line]:
    """Find secrets in what the programs logged."""
    for log in sorted(kept.glob("*.log")):
        said = log.read_text(errors="replace")
        yield from ({"log": log.name, "secret": name} for name, value in known.items() if value in said)
