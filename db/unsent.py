"""Due jobs whose first message has come to no worker: it is lost, or it only waits in a long queue."""

from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Update, and_, bindparam, func, or_, select, update

from db.base import quick, reachable, soon
from db.jobs import SEND_AGAIN_S, Job


def exist() -> bool:
    """Tell whether there are due jobs whose first message has not come to a worker yet."""
    with reachable(), quick().connect() as connection:
        return bool(connection.scalar(seeking()))


def put_off(first_waiting: UUID) -> None:
    """Put off due jobs that are younger than the one whose message is next: their own still waits behind it."""
    with reachable(), quick().connect() as connection:
        connection.execute(putting_off(), {"first_waiting": first_waiting})


def wanted() -> ColumnElement[bool]:
    """Say in SQL that a job is due since its first message has not come, and that its time is not over."""
    in_time = or_(Job.start_by.is_(None), Job.start_by > func.statement_timestamp())
    return and_(
        Job.due_at <= func.statement_timestamp(),
        Job.status == "pending",
        Job.stage == "queued",
        Job.sends == 0,
        in_time,
    )


@cache
def seeking() -> Select[bool]:
    """Make that statement, once."""
    return select(select(Job.id).where(wanted()).exists())


@cache
def putting_off() -> Update:
    """Make that statement, once."""
    at = select(Job.created_at).where(Job.id == bindparam("first_waiting")).scalar_subquery()
    return update(Job).where(wanted(), Job.created_at > at).values(due_at=soon(SEND_AGAIN_S))
