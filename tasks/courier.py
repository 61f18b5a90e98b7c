"""Sends what receivers are to be told. One that hangs, or fails, holds up its own deliveries and nobody else's."""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event, Lock
from time import monotonic
from typing import Any

from db import deliveries
from db.deliveries import Sending
from settings import settings
from storage.fetch import WALL_S
from storage.post import Answer, post
from tasks import letter
from tools.errors import NotFound, Unavailable
from tools.webhooks import PROGRESS

logger = logging.getLogger(__name__)

#: Deliveries that one watcher sends at once, to one host, and to all hosts whose last one failed.
MOST, EACH, FAILING = 32, 4, 16

#: Hosts of which it is remembered that they fail.
MOST_KNOWN = 1000

#: Seconds between two looks at what is due, when something was and when nothing was.
PACE_S, LOOK_S = 0.1, 1.0

GONE = 410


class Courier:
    """Sends in lanes: each is a thread that sends for one host until nothing is due there any more."""

    def __init__(self, wall_s: float = WALL_S) -> None:
        self.wall_s = wall_s
        self.pool = ThreadPoolExecutor(MOST, "deliver")
        self.lock, self.over = Lock(), Event()
        self.lanes: Counter[str] = Counter()
        self.failing: set[str] = set()
        self.next_at = monotonic()

    def go(self) -> float:
        """Begin to send what is due, unless that was done just now; gives the seconds after which to go again.

        Raises Unavailable.
        """
        if (left_s := self.next_at - monotonic()) > 0:
            return left_s
        begun = self.begin()
        self.next_at = monotonic() + PACE_S
        return PACE_S if begun else LOOK_S

    def begin(self) -> bool:
        """Begin one more lane for each host that has something due, where there is room; True if there was."""
        with self.lock:
            full = [host for host, lanes in self.lanes.items() if lanes >= self.most(host)]
        found = deliveries.find_hosts(full)
        with self.lock:
            begun = [host for host in sorted(found, key=self.failing.__contains__) if self.enter(host)]
        for host in begun:
            self.pool.submit(self.run, host)
        return bool(begun)

    def most(self, host: str) -> int:
        """Say how many lanes a host may have."""
        return 1 if host in self.failing else EACH

    def enter(self, host: str) -> bool:
        """Take a place for one more lane, if there is one: those that fail never have them all."""
        slow = sum(lanes for known, lanes in self.lanes.items() if known in self.failing)
        if self.lanes.total() >= MOST or (host in self.failing and slow >= FAILING):
            return False
        self.lanes[host] += 1
        return True

    def leave(self, host: str) -> None:
        """Give the place back."""
        with self.lock:
            self.lanes[host] -= 1
            self.lanes += Counter()  # forgets those that have none

    def run(self, host: str) -> None:
        """Be a lane."""
        try:
            while not self.over.is_set() and (sending := deliveries.claim(host)):
                well = see_to(sending, self.wall_s)
                if self.learn(host, well=well):
                    break
        except Unavailable as error:  # what was taken is due again when its lease is over
            logger.debug("deliveries to %s wait: %s", host, error)
        except Exception:
            logger.exception("a lane of deliveries ended")
        finally:
            self.leave(host)

    def learn(self, host: str, *, well: bool) -> bool:
        """Remember how a host does; True if it has more lanes than it may have by now."""
        with self.lock:
            if well:
                self.failing.discard(host)
            elif len(self.failing) < MOST_KNOWN:
                self.failing.add(host)
            return self.lanes[host] > self.most(host)

    def stop(self) -> None:
        """Begin nothing more."""
        self.over.set()

    def land(self) -> None:
        """Wait until all that is being sent has come to its end."""
        self.stop()
        self.pool.shutdown()


def see_to(sending: Sending, wall_s: float) -> bool:
    """Send one delivery, and mark it; True if its receiver has it, within so many seconds. Raises Unavailable."""
    at = datetime.now(UTC)
    try:
        body = letter.write(sending)
    except NotFound:  # it was forgotten just now
        body = None
    except (ValueError, TypeError, KeyError):
        logger.exception("delivery %s could not be written", sending.id)
        deliveries.failed(sending, entry(at, Answer(error="it could not be written: see the log")))
        return False
    if body is None:
        deliveries.drop(sending)
        return True
    headers, open_hosts = letter.address(sending, body, at), settings().open_hosts
    answer = post(sending.url, body, headers, open_hosts=open_hosts, wall_s=wall_s)
    mark(sending, answer, at)
    return answer.ok


def mark(sending: Sending, answer: Answer, at: datetime) -> None:
    """Write down what came of it."""
    told = entry(at, answer)
    if answer.ok:
        deliveries.delivered(sending, told)
        return
    logger.info("delivery %s, try %s: %s", sending.id, sending.tries, answer.error or answer.status)
    if answer.status == GONE:
        deliveries.refused(sending, told)
    else:
        deliveries.failed(sending, told, answer.pause_s, last=sending.type == PROGRESS)


def entry(at: datetime, answer: Answer) -> dict[str, Any]:
    """Write a line of the log: when, and what was answered."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return {"at": at.isoformat(), "status": answer.status, "error": answer.error, "seconds": round(seconds, 3)}
