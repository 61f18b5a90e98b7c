"""The websocket to ComfyUI: it makes progress seen and the end known at once, and nothing depends on it."""

import json
import time
from contextlib import ExitStack, suppress
from threading import Event
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

#: The type of the message that we make ourselves when the connection breaks.
LOST = "lost"

#: Seconds between two tries to connect again.
AGAIN_S = 2.0


class Ears:
    """Hears the messages about one graph, while there is a connection."""

    def __init__(self, url: str, client_id: str, stop: Event) -> None:
        scheme, _, rest = url.partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?clientId={client_id}"
        self._stop = stop
        self._socket: ClientConnection | None = None
        self._open = ExitStack()
        self._tried_at = 0.0
        self._connect()

    def close(self) -> None:
        """Hang up."""
        self._socket = None
        self._open.close()

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """Wait for a message, or for so many seconds; previews, which are binary, are no messages."""
        if self._socket is None and time.monotonic() - self._tried_at >= AGAIN_S:
            self._connect()
        if self._socket is None:
            self._stop.wait(seconds)
            return None
        try:
            heard = self._socket.recv(seconds)
        except TimeoutError:
            return None
        except (OSError, WebSocketException):
            self.close()
            return {"type": LOST}
        return json.loads(heard) if isinstance(heard, str) else None

    def _connect(self) -> None:
        self._tried_at = time.monotonic()
        with suppress(OSError, TimeoutError, WebSocketException):
            # Messages carry what a node was given, such as pictures as text; they stay on this machine.
            call = connect(
                self._url,
                open_timeout=3,
                close_timeout=1,
                ping_interval=None,
                max_size=2**26,
                proxy=None,
                compression=None,
            )
            self._socket = self._open.enter_context(call)
