"""The wire to strangers: a session that reaches public addresses only, and whose sockets can be cut."""

import socket
from threading import Lock
from typing import Any

from AntiSSRF import AntiSSRFPolicy, PolicyConfigOptions  # type: ignore[import-untyped]  # it ships no types
from requests import Session
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: What the library lets through: v4-compatible addresses (::127.0.0.1) and, as in older lists of it, site-local ones.
ALSO_DENIED = ["::/96", "fec0::/10"]


class Wire:
    """The connections of one fetch. `cut` ends them all, whatever they wait for: name, handshake, header or body."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._twins: list[socket.socket] = []
        self._is_cut = False

    def session(self, *, allow_http: bool, is_open: bool = False) -> Session:
        """Make a session that dials the address it has checked, and no proxy that the environment names.

        With `is_open`, those who run the house have named the host, and it may be anywhere.
        """
        session = Session() if is_open else guarded(allow_http=allow_http)
        session.trust_env = False
        for adapter in session.adapters.values():
            adapter.poolmanager.pool_classes_by_scheme = self._pools()  # type: ignore[attr-defined]  # BaseAdapter's stub lacks it
        return session

    def hold(self, sock: socket.socket) -> None:
        """Keep a twin of a socket: TLS takes the original away, but to shut the twin down ends both."""
        with self._lock:
            self._twins.append(sock.dup())
            late = self._is_cut
        if late:
            self.cut()

    def cut(self) -> None:
        """End every connection of this wire, now and later."""
        with self._lock:
            self._is_cut = True
            twins, self._twins = self._twins, []
        for twin in twins:
            with twin:
                shut(twin)

    def _pools(self) -> dict[str, Any]:
        wire = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                sock = super()._new_conn()
                wire.hold(sock)
                return sock

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                sock = super()._new_conn()
                wire.hold(sock)
                return sock

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


def guarded(*, allow_http: bool) -> Session:
    """Make a session to which every address that is not public is closed."""
    policy = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
    policy.add_denied_addresses(ALSO_DENIED)
    policy.allow_plain_text_http = allow_http
    policy.add_xff_header = False
    session: Session = policy.get_antissrf_session()
    return session


def shut(sock: socket.socket) -> None:
    """Shut a connection down, if it still stands."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker
