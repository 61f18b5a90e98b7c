"""How far a job is: each step of it worth telling becomes an event, so that who listens hears of it."""

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from db.base import unnest
from db.jobs import Job
from db.traces import Event

#: Progress is told each time that it passes one of so many parts of the whole: a job has few such events, however
#: often its handler reports.
PARTS = 50

COLUMNS = ["job_id", "flow_id", "name", "data"]


@cache
def telling_one() -> Select[int]:
    """Make the statement that notes how far one job is, and tells of it, once.

    The row is locked before an id is drawn for the event: the ids of a job's events are in the order of their commits.
    """
    wanted = Job.id == bindparam("told_id", type_=Uuid()), Job.status == "processing"
    was = select(Job.id, Job.progress, Job.stage).where(*wanted).with_for_update(key_share=True).cte("was")
    far, stage = bindparam("told_progress", type_=Float()), bindparam("told_stage", type_=Text())
    going = update(Job).where(Job.id == was.c.id).values(progress=func.greatest(Job.progress, far), stage=stage)
    now = going.returning(
        Job.id, Job.flow_id, Job.progress, Job.stage, was.c.progress.label("before"), was.c.stage.label("left")
    ).cte("now")
    told = tell(now.c.id, now.c.flow_id, now.c.stage, now.c.progress).where(
        worth(now.c.before, now.c.left, now.c.progress, now.c.stage)
    )
    return inserting(told)


@cache
def telling_many() -> Select[int]:
    """Make the statement that tells how far some of these jobs are, once; they are locked, and not yet changed."""
    said = unnest(ids=Uuid(), progresses=Float(), stages=Text())
    far = func.greatest(Job.progress, said.c.progresses)
    told = tell(Job.id, Job.flow_id, said.c.stages, far).where(
        Job.id == said.c.ids, Job.status == "processing", worth(Job.progress, Job.stage, far, said.c.stages)
    )
    return inserting(told)


def inserting(told: Select[Any]) -> Select[int]:
    """Make a SELECT around the insert, which would take its parameters for columns."""
    made = insert(Event).from_select(COLUMNS, told, include_defaults=False).returning(Event.id).cte("made")
    return select(func.count()).select_from(made)


def tell(job_id: Any, flow_id: Any, stage: Any, far: Any) -> Select[Any]:
    """Select what an event of progress says."""
    return select(job_id, flow_id, literal("progress"), func.json_build_object("stage", stage, "progress", far))


def worth(before: Any, left: Any, far: Any, stage: Any) -> ColumnElement[bool]:
    """Say in SQL that it is worth an event: it is told, and another stage, or another part of the whole."""
    passed = func.floor(far * PARTS) > func.floor(before * PARTS)
    return and_(stage.is_not(None), or_(stage != left, passed))
