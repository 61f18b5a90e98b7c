"""Whether a server lets in who has no password: it is tried, as no address tells."""

import ipaddress
import secrets
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg2
from redis import Redis, RedisError
from sqlalchemy import make_url

PATIENCE_S = 5


def redis_opens(url: str) -> bool:
    """Ask a Redis without its password. One that says anything else than that all is well lets nobody in."""
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        with Redis.from_url(bare, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S) as client:
            return bool(client.ping())
    except RedisError:
        return False


def postgres_opens(url: str) -> bool:
    """Connect to a PostgreSQL with a password that is none: one that trusts who comes does not look at it."""
    wrong = make_url(url).set(drivername="postgresql", password=secrets.token_urlsafe())
    try:
        psycopg2.connect(wrong.render_as_string(hide_password=False), connect_timeout=PATIENCE_S).close()
    except psycopg2.OperationalError:
        return False
    return True


#: How each is tried, and how it is given a password.
TRIED: dict[str, tuple[Callable[[str], bool], str]] = {
    "REDIS_URL": (redis_opens, "requirepass in its configuration"),
    "DATABASE_URL": (postgres_opens, "scram-sha-256 in its pg_hba.conf"),
}


def is_here(host: str) -> bool:
    """Tell whether a name leads to this machine alone, by its loopback."""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
