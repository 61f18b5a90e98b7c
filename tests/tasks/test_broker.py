"""The channel to Redis, when its connection is given up."""

from typing import Any

import pytest

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
