"""Take a connection over from gunicorn: whoever listens for an hour needs a socket, and no thread."""

import os
import socket
import ssl
from typing import Any


def can_take(environ: dict[str, Any]) -> bool:
    """Tell whether the connection of a request can be taken over: plain HTTP/1 under gunicorn."""
    sock = environ.get("gunicorn.socket")
    whole = "HTTP_VERSION" not in environ  # a request over HTTP/2 shares its connection with others
    return isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket) and whole


def take(environ: dict[str, Any]) -> socket.socket:
    """Take the connection of a request over, once the head of its answer is written.

    Gunicorn is left with a socket whose other end is closed: it takes its client for gone, and frees the thread.
    """
    given: socket.socket = environ["gunicorn.socket"]
    taken = socket.socket(fileno=os.dup(given.fileno()))
    here, there = socket.socketpair()
    with here, there:
        os.dup2(there.fileno(), given.fileno(), inheritable=False)
    return taken
