"""Celery's way to Redis, with one of its habits left out."""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as NotConnected


class Channel(redis.Channel):
    """A channel that tells when it cannot connect any more."""

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        """Say how to connect. Raises NotConnected once the connection is given up.

        While a worker gives up a connection that was lost, its channel still tries to hand back what the worker has in
        hand. Without this, it would fall over the missing connection with an AttributeError, which ends the worker;
        an error of the connection is taken for what it is, and the worker connects anew. The messages come back after
        the visibility timeout.
        """
        if self.connection.client is None:
            raise NotConnected("This connection has been given up.")
        return super()._connparams(*args, **kwargs)  # type: ignore[misc]  # the stubs do not know it


class Transport(redis.Transport):
    """Messages over Redis."""

    Channel = Channel
