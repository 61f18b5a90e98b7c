"""Redis as a doorbell: whoever rings is never held up for long, as what is rung for is due in the database anyway."""

import os
from collections.abc import Callable
from threading import Thread
from time import sleep

from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as Refused
from redis.exceptions import RedisError

from outage import Outage

#: What a Redis that is away makes of a call.
AWAY = (OperationalError, RedisError, OSError)

#: Seconds between two knocks at a Redis that is away.
KNOCK_S = 1.0


class Doorbell:
    """Rings while Redis answers. After a failure nobody tries, until a knock from behind the scenes is answered."""

    def __init__(self, knock: Callable[[], object]) -> None:
        self.knock = knock
        self.outage = Outage("Redis", "jobs are taken in and wait in the database until it is back")
        # A child has no thread that knocks; what it inherits would stay away for ever.
        os.register_at_fork(after_in_child=self.forget)

    def ring(self, publish: Callable[[], object]) -> bool:
        """Do what needs Redis; False if it is away. A connection that has gone stale meanwhile is made anew, once."""
        if self.outage:
            return False
        try:
            try:
                publish()
            except Refused:
                publish()
        except AWAY as error:
            self.miss(error)
            return False
        return True

    def miss(self, error: Exception) -> None:
        """Note that Redis is away, and let one thread find out when it is back."""
        if self.outage.begin(error):
            Thread(target=self.wait, name="doorbell", daemon=True).start()

    def wait(self) -> None:
        """Knock until Redis answers."""
        while not self.answers():
            sleep(KNOCK_S)
        self.outage.end()

    def answers(self) -> bool:
        """Knock once."""
        try:
            self.knock()
        except AWAY:
            return False
        return True

    def forget(self) -> None:
        """Begin afresh in a new process."""
        self.outage.since = None
