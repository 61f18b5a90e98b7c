"""Hear at once that something happened: one connection that only listens."""

import select
from collections.abc import Iterator
from typing import Any

import psycopg2

from db.base import ARGUMENTS
from db.lifeline import address, lifeline

#: The channel on which each event's job id comes.
JOBS_CHANNEL = "packshot_jobs"


def connect(*channels: str) -> Any:
    """Open a connection of its own: a pooled one would be handed to somebody else. Raises psycopg2.Error."""
    lifeline.must_answer()
    connection = psycopg2.connect(address(), **ARGUMENTS)
    connection.autocommit = True
    with lifeline.holding(connection), connection.cursor() as cursor:
        for channel in channels:
            cursor.execute(f'LISTEN "{channel}"')
    return connection


def wait(connection: Any, seconds: float) -> Iterator[str]:
    """Wait for notices, at most so long; give their payloads. Raises psycopg2.Error once the connection is gone."""
    quiet = select.poll()  # select() takes no number above 1023, and an API has many sockets
    quiet.register(connection, select.POLLIN)
    if quiet.poll(seconds * 1000):
        connection.poll()
    while connection.notifies:
        yield connection.notifies.pop(0).payload
