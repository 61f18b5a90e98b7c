"""Is the clock of this machine the database's?"""

import time

from sqlalchemy import func, select

from db.base import quick, reachable, soon
from tools.errors import ClockWrong

#: Seconds that a clock may be off.
MOST_S = 5.0


def check() -> None:
    """Refuse a clock that is wrong. Raises ClockWrong.

    Our own deadlines are in the database's time; Celery's are not. A worker whose clock is ahead takes for lost what
    others hold, and hands it out again.
    """
    with reachable(), quick().connect() as connection:
        connection.execute(select(1))  # the first use of a connection takes its time
        asked_at = time.time()
        told = connection.scalar(select(func.extract("epoch", soon(0))))
        off_s = (asked_at + time.time()) / 2 - float(told or 0)
    if abs(off_s) > MOST_S:
        ahead = "ahead of" if off_s > 0 else "behind"
        raise ClockWrong(
            f"This machine's clock is {abs(off_s):.0f} s {ahead} the database's: set it by NTP, then start."
        )
