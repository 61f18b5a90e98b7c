"""Due jobs whose first message has come to no worker: it is lost, or it only waits in a long queue."""

from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Update, and_, bindparam, func, or_, select, update

from db.base import quick, reachable, soon
from db.jobs import SEND_AGAIN_S, Job

#: A job that comes due within so many seconds counts as due: else many of them would between this look and the claim.
AHEAD_S = 2.0

#: The longest that a job is put off behind others, in seconds: so late is found that its message is lost after all.
LONGEST_S = 30.0


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
        Job.due_at <= func.statement_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, AHEAD_S),
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
    """Make that statement, once: each is due when its turn comes, if messages are taken as fast as they came."""
    at = select(Job.created_at).where(Job.id == bindparam("first_waiting")).scalar_subquery()
    behind_s = func.extract("epoch", Job.created_at - at)
    again = soon(func.least(func.greatest(behind_s, SEND_AGAIN_S), LONGEST_S))
    return update(Job).where(wanted(), Job.created_at > at).values(due_at=again)
