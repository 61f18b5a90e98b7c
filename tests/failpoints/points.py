"""Named points in the life of a job, at each of which a process can be made to die, to stand still, or to fail.

The programs are wrapped as they start, so that the product knows nothing of it. A fault is a file
`<point>!<mark>!<fault>` in a folder; whoever comes to the point with a job that bears the mark renames it, and suffers.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial, wraps
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg2

from tools.errors import Unavailable

#: Names the folder, and which of the programs this is.
FOLDER, ROLE = "FAILPOINTS", "FAILPOINTS_ROLE"

ROOMS = ("tools", "storage", "db", "gpu_handlers", "tasks", "api")

#: What can happen there: kill -9, SIGSTOP, an error that nobody foresaw, and one that says "try again later".
FAULTS = ("kill", "stop", "error", "away")

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def always(_result: Any) -> bool:
    """Take any result."""
    return True


@dataclass(frozen=True)
class Point:
    """Before or after a function of one program; `near`: of jobs of our own queue, `far`: of RunPod's, or both."""

    role: Literal["api", "client", "main", "gpu", "watch", "far"]
    name: str
    when: Literal["before", "after"]
    #: `module:function`, or `module:Class.method`.
    where: str
    remote: Literal["near", "far", "both"] = "both"
    #: After which of its results.
    said: Callable[[Any], bool] = always

    @property
    def title(self) -> str:
        """Name it."""
        return f"{self.role}.{self.name}"


POINTS = {
    point.title: point
    for point in (
        Point("api", "accepted", "after", "db.intake:accept_once"),
        Point("api", "rung", "after", "tasks.app:Sender.send"),
        Point("api", "cancelled", "before", "tasks.ending:send", "far"),
        Point("api", "hears", "before", "db.runs:call", "far"),
        Point("api", "heard", "after", "db.runs:call", "far"),
        Point("client", "remembered", "after", "db.intake:remember"),
        Point("main", "intended", "after", "tasks.run:step"),
        Point("main", "queued", "after", "tasks.remotes.queue:put", "near"),
        Point("main", "answers", "after", "tasks.run:advance", said=lambda result: result is not None),
        Point("main", "settles", "before", "tasks.run:ToolTask.after_return"),
        Point("main", "settled", "after", "db.life:settle"),
        Point("gpu", "claims", "before", "db.attempts:claim", "near"),
        Point("gpu", "claimed", "after", "db.attempts:claim", "near"),
        Point("gpu", "stores", "before", "gpu_handlers.attempt:store", "near"),
        Point("gpu", "done", "after", "tasks.handle:do", "near"),
        Point("gpu", "finished", "after", "db.attempts:finish", "near"),
        Point("gpu", "concluded", "before", "tasks.ending:send", "near"),
        Point("gpu", "sent", "after", "tasks.ending:send", "near"),
        Point("watch", "took", "after", "db.life:claim_due", "near"),
        Point("watch", "took_far", "after", "db.crowd:claim_due", "far"),
        Point("watch", "submits", "before", "tasks.remotes.endpoint:run", "far"),
        Point("watch", "submitted", "after", "tasks.remotes.endpoint:run", "far"),
        Point("watch", "noted", "after", "db.crowd:name", "far"),
        Point("watch", "looked", "after", "tasks.remotes.endpoint:status", "far"),
        Point("watch", "concluded", "before", "tasks.ending:send", "far"),
        Point("watch", "replaced", "before", "tasks.answers:submit", "near"),
        Point("watch", "reopened", "before", "tasks.ending:restore_chord"),
        Point("watch", "restored", "after", "tasks.ending:restore_chord"),
        Point("watch", "resent", "after", "tasks.ending:send"),
        Point("watch", "stops", "before", "db.runs:stopped", "far"),
        Point("watch", "stopped", "after", "db.runs:stopped", "far"),
        Point("far", "claims", "before", "storage.claims:take", "far"),
        Point("far", "claimed", "after", "storage.claims:take", "far"),
        Point("far", "stores", "before", "gpu_handlers.attempt:store", "far"),
        Point("far", "keeps", "before", "storage.claims:keep_outcome", "far"),
        Point("far", "kept", "after", "storage.claims:keep_outcome", "far"),
        Point("far", "answers", "after", "gpu_handlers.entry:attend", "far"),
    )
}


def install() -> None:
    """Put the points of this program into it. Raises AttributeError for a function that is there no more."""
    for point in POINTS.values():
        if point.role == os.environ[ROLE]:
            put(point.where, partial(pointed, point))


def put(where: str, wrap: Callable[[Any], Any]) -> None:
    """Put a wrapped function in the place of a function, under each name by which our modules know it."""
    owner, name = find(where)
    original = getattr(owner, name)
    wrapped = wrap(original)
    setattr(owner, name, wrapped)
    for module in [one for called, one in sys.modules.items() if called.partition(".")[0] in ROOMS]:
        for known in [known for known, value in vars(module).items() if value is original]:
            setattr(module, known, wrapped)


def find(where: str) -> tuple[Any, str]:
    """Find who has the function, and its name there."""
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner: Any = import_module(module)
    for each in owners:
        owner = getattr(owner, each, None)
    if not callable(getattr(owner, name, None)):
        raise AttributeError(f"there is no {where} any more: say in POINTS what has taken its place")  # noqa: TRY004 - so it is
    return owner, name


def pointed(point: Point, original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function, or what is awaited, so that a fault can be met there."""
    if iscoroutinefunction(original):
        return awaited(point, original)

    @wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        if point.when == "before":
            meet(point, [*args, *kwargs.values()])
            return original(*args, **kwargs)
        result = original(*args, **kwargs)
        if point.said(result):
            meet(point, [*args, *kwargs.values(), result])
        return result

    return run


def awaited(point: Point, original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what is awaited."""

    @wraps(original)
    async def run(*args: Any, **kwargs: Any) -> Any:
        if point.when == "before":
            meet(point, [*args, *kwargs.values()])
            return await original(*args, **kwargs)
        result = await original(*args, **kwargs)
        if point.said(result):
            meet(point, [*args, *kwargs.values(), result])
        return result

    return run


def meet(point: Point, told: list[Any]) -> None:
    """Meet the fault that waits here for one of these jobs, if there is one."""
    folder = Path(os.environ[FOLDER])
    for armed in [Path(one.path) for one in os.scandir(folder / "armed") if one.name.startswith(f"{point.title}!")]:
        _, mark, fault = armed.name.split("!")
        if not bears(mark, {known for value in told for known in ids(value)}):
            continue
        try:
            armed.rename(folder / "fired" / f"{armed.name}!{os.getpid()}")
        except FileNotFoundError:  # somebody else was here first
            continue
        suffer(fault)


def suffer(fault: str) -> None:
    """Do it."""
    match fault:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "error":
            raise RuntimeError("a failpoint was met")
        case "away":
            raise Unavailable("A failpoint was met.")


def ids(value: Any, depth: int = 0) -> Iterator[str]:
    """Find the ids of jobs and attempts in what a function was told, or said."""
    if isinstance(value, UUID):
        yield str(value)
    elif isinstance(value, str):
        yield from ID.findall(value)
    elif isinstance(value, Mapping):
        for inner in (value.get(name) for name in ("job_id", "attempt_id", "input")):
            yield from ids(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value if depth < 3 else ():
            yield from ids(inner, depth + 1)
    else:
        for inner in (getattr(value, name, None) for name in ("id", "job_id")):
            yield from ids(inner, depth + 1) if isinstance(inner, UUID | str) else ()


#: A job bears a mark when its caller gave it: in its seed, its name or its word. An id is its own, an attempt's, or
#: what RunPod calls one.
BEARS = """SELECT 1 FROM jobs WHERE given::text LIKE %(mark)s AND (id::text = ANY(%(ids)s) OR id IN (
    SELECT job_id FROM attempts WHERE id::text = ANY(%(ids)s) OR left(remote_id, 36) = ANY(%(ids)s))) LIMIT 1"""


def bears(mark: str, known: set[str]) -> bool:
    """Tell whether one of these is a job that bears the mark, or an attempt at one."""
    if not known:
        return False
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute(BEARS, {"mark": f"%{mark}%", "ids": list(known)})
        return cursor.fetchone() is not None
