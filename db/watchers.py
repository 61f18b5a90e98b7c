"""Who watches, and when each was last seen alive."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Moment, soon, transaction

#: A watcher that was not seen for so long does not count, in seconds.
STALE_S = 30


class Watcher(Base):
    """A watcher, and when it was last seen alive."""

    __tablename__ = "watchers"

    name: Mapped[str] = mapped_column(primary_key=True)
    beat_at: Mapped[datetime] = mapped_column(Moment)


def beat(name: str) -> None:
    """Say that this watcher lives."""
    statement = insert(Watcher).values(name=name, beat_at=soon(0))
    with transaction() as session:
        session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"beat_at": soon(0)}))


def count() -> int:
    """Count the watchers that live."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(Watcher.beat_at > soon(-STALE_S))) or 0
