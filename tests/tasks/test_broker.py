"""The channel to Redis, when its connection is given up, and when another's holder is dead."""

from typing import Any

import pytest
from kombu.transport.redis import Mutex
from redis import Redis

from tasks.app import app


@pytest.mark.usefixtures("redis_url")
def test_a_channel_whose_connection_is_given_up_fails_as_a_lost_connection_does() -> None:
    connection = app.connection_for_read()
    channel: Any = connection.channel()
    channel._disconnect_pools()  # so far a worker comes that closes a channel over a lost connection, before that fails
    channel.connection.client = None  # and this is what it does to the connection then
    with pytest.raises((AttributeError, *connection.connection_errors)) as raised:
        channel.qos.restore_unacked()
    assert raised.errisinstance(connection.connection_errors), "Kombu's own way, which ends a worker"


def test_who_dies_while_he_gives_messages_back_keeps_nobody_else_from_it_for_long(redis_url: str) -> None:
    with app.connection_for_read() as connection, Redis.from_url(redis_url) as redis:
        channel: Any = connection.channel()
        with Mutex(redis, channel.unacked_mutex_key, channel.unacked_mutex_expire):
            assert 0 < redis.ttl(channel.unacked_mutex_key) <= 10
