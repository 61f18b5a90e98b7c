"""Which jobs a canvas will make: read from its first message, which knows every id that follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from celery import Celery

from db import intake
from db.intake import Planned
from tools.catalog import TOOLS
from tools.errors import InvalidInput

#: How our tasks are named in messages.
PREFIX = "tasks."

Signature = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """A task that is about to be sent."""

    name: str
    args: Any
    kwargs: Any
    options: dict[str, Any]
    #: Sent from outside of any task.
    root: bool


@dataclass
class Plan:
    """The jobs found so far, by id."""

    root_id: UUID
    jobs: dict[UUID, Planned] = field(default_factory=dict)

    def add(self, job: Planned) -> None:
        """Add a job; a chord's body is reached from each of its members."""
        known = self.jobs.setdefault(job.id, job)
        known.upstream = sorted({*known.upstream, *job.upstream})
        known.members = sorted({*known.members, *job.members})


def remember(app: Celery, message: Message) -> bool:
    """Turn a message's canvas into rows, and take its delay out of the message: a row waits better than a worker.

    Returns whether the message itself is a job's, so that somebody looks after it if it is lost.

    Raises:
        InvalidInput: a task of ours was given what its tool does not take. Nothing is sent.
        CanvasReused: this canvas was sent before.
        Unavailable: the database is down.
    """
    check_named(message)
    found = plan(app, message)
    own_id = read_id(message.options["task_id"])
    own = found.jobs.get(own_id) if own_id else None
    if own:
        begin(own, as_signature(app, message), message.options)
    if found.jobs:
        intake.remember(list(found.jobs.values()), root=message.root)
    return own is not None


def check_named(message: Message) -> None:
    """Refuse params without a name where a person calls: what stands there is a result of another task."""
    name = message.name.removeprefix(PREFIX)
    ours = message.root and message.name.startswith(PREFIX) and name in TOOLS
    if ours and any(isinstance(given, str | int | float) for given in message.args or ()):
        example = min(TOOLS[name].params.model_fields.items(), key=lambda field: not field[1].is_required())[0]
        raise InvalidInput(f"Params of {name} go by name: {name}.delay({example}=…).")


def announce(body: Signature, members: Sequence[str]) -> None:
    """Turn a chord's body, and what follows it, into rows that know all members, before the first of them is sent."""
    known = [member for member in map(read_id, members) if member]
    made = Plan(read_id((body.get("options") or {}).get("root_id")) or (known[0] if known else uuid4()))
    place(made, body, Spot(members=known, shared=True))
    if made.jobs:
        intake.remember(list(made.jobs.values()), root=False)


def plan(app: Celery, message: Message) -> Plan:
    """Find the jobs that a message stands for, its own and those that follow."""
    options = message.options
    made = Plan(read_id(options.get("root_id") or options["task_id"]) or uuid4())
    place(made, as_signature(app, message), Spot())
    return made


def as_signature(app: Celery, message: Message) -> dict[str, Any]:
    """Write the message down as Celery does, so that it can be sent again as it was."""
    args, kwargs = list(message.args or ()), dict(message.kwargs or {})
    written = dict(app.signature(message.name, args=args, kwargs=kwargs, app=app))
    written["options"] = {key: value for key, value in message.options.items() if key in CARRIED and value is not None}
    return written


#: The options that belong to a message wherever it is sent.
CARRIED = frozenset(
    {"task_id", "root_id", "parent_id", "group_id", "group_index", "chord", "chain", "link", "link_error", "reply_to",
     "replaced_task_nesting"}
)  # fmt: skip


def begin(own: Planned, first: dict[str, Any], options: dict[str, Any]) -> None:
    """Note what the first job's message says of time, and keep the message: it may be lost."""
    own.not_before = moment(options.pop("countdown", None)) or moment(options.pop("eta", None))
    own.start_by = moment(options.get("expires"))
    own.signature = first


def moment(value: Any) -> datetime | None:
    """Read Celery's ways to say when: seconds from now, ISO text, or a datetime."""
    if isinstance(value, int | float):
        return datetime.now(UTC) + timedelta(seconds=value)
    parsed: datetime | None = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed if parsed is None or parsed.tzinfo else parsed.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Spot:
    """Where in a canvas a part of it stands."""

    #: The jobs of ours directly before it.
    after: list[UUID] = field(default_factory=list)
    #: The tasks whose chord it is the body of.
    members: list[UUID] = field(default_factory=list)
    #: Each member of that chord tells of it.
    shared: bool = False


@dataclass(frozen=True)
class Exits:
    """What follows a part of a canvas comes after these."""

    #: Jobs of ours.
    jobs: list[UUID]
    #: Tasks that end it, ours or not: as members of a chord they count.
    leaves: list[UUID]


def place(plan: Plan, signature: Signature, spot: Spot) -> Exits:
    """Place a part of a canvas; say what comes after it in turn."""
    exits = place_itself(plan, signature, spot)
    options = signature.get("options") or {}
    if follow := options.get("chain"):  # a message keeps it with the next step last
        exits = place_chain(plan, list(reversed(follow)), replace(spot, after=exits.jobs, members=[]))
    if body := options.get("chord"):
        place(plan, body, Spot(exits.jobs, exits.leaves, shared=True))
    return exits


def place_itself(plan: Plan, signature: Signature, spot: Spot) -> Exits:
    """Place a task, or the parts of a canvas within the canvas."""
    kwargs = signature.get("kwargs") or {}
    match signature.get("subtask_type"):
        case "chain":
            return place_chain(plan, kwargs["tasks"], spot)
        case "group":
            return place_group(plan, kwargs["tasks"], spot)
        case "chord":
            header = kwargs["header"]  # a group, or a plain list
            tasks = header["kwargs"]["tasks"] if isinstance(header, Mapping) else header
            exits = place_group(plan, tasks, spot)
            return place(plan, kwargs["body"], replace(spot, after=exits.jobs, members=exits.leaves))
        case _:
            return place_task(plan, signature, spot)


def place_chain(plan: Plan, tasks: Sequence[Signature], spot: Spot) -> Exits:
    """Place one step after the other."""
    exits = Exits(spot.after, [])
    for task in tasks:
        exits = place(plan, task, replace(spot, after=exits.jobs))
        spot = replace(spot, members=[])
    return exits


def place_group(plan: Plan, tasks: Sequence[Signature], spot: Spot) -> Exits:
    """Place tasks side by side."""
    exits = [place(plan, task, replace(spot, members=[])) for task in tasks]
    return Exits([job for one in exits for job in one.jobs], [leaf for one in exits for leaf in one.leaves])


def place_task(plan: Plan, signature: Signature, spot: Spot) -> Exits:
    """Place one task: a job, if it is ours; one that is not lets what is before it through."""
    task_id = read_id(signature["options"]["task_id"])
    name = str(signature["task"]).removeprefix(PREFIX)
    if signature["task"] != f"{PREFIX}{name}" or name not in TOOLS:
        return Exits(spot.after, [task_id] if task_id else [])
    if task_id is None:
        raise InvalidInput(f"A task id of {name} is the id of its job: give a UUID, or none.")
    given = dict(signature.get("kwargs") or {})
    told, deadlines = TOOLS[name].part(given)
    TOOLS[name].check_given(told)
    job = Planned(
        task_id, TOOLS[name], given, plan.root_id, list(spot.after), list(spot.members), deadlines=deadlines,
        shared=spot.shared,
    )  # fmt: skip
    plan.add(job)
    return Exits([task_id], [task_id])


def read_id(text: Any) -> UUID | None:
    """Read a task id; other people's tasks may have any."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
