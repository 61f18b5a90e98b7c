"""`packshot webhooks listen`: a receiver on this machine, which says what arrives and whether the signature holds."""

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from embedded.ports import HOST
from tools.errors import InvalidInput

#: The largest body that is read, in bytes: ours are never as large.
LARGEST = 256 * 1024

#: How many message ids are remembered, to tell what came again.
MOST_KNOWN = 10_000


class Listener(ThreadingHTTPServer):
    """Hears deliveries, and prints a line for each."""

    daemon_threads = True

    def __init__(self, port: int, secret: str | None, keep: Path | None, say: Callable[[str], None]) -> None:
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
        super().__init__((HOST, port), Hearing)
        self.signed = Webhook(secret) if secret else None
        self.keep, self.say = keep, say
        self.lock, self.known, self.heard = Lock(), set[str](), 0

    def take(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Judge one delivery, and say so; False if its signature does not hold."""
        name, proof = headers.get("webhook-id", ""), self.judge(headers, body)
        with self.lock:
            again = name in self.known
            if len(self.known) < MOST_KNOWN:
                self.known.add(name)
            self.heard += 1
            self.say(f"{read_type(body)}  {name or 'without an id'}  {proof}{', again' if again else ''}")
        if self.keep:
            write(self.keep, name, headers, body)
        return not proof.startswith("the signature does not")

    def judge(self, headers: Mapping[str, str], body: bytes) -> str:
        """Say whether the signature holds."""
        if self.signed is None:
            return "not verified: give the secret in WEBHOOK_SECRET"
        try:
            self.signed.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError) as error:
            return f"the signature does not hold: {error}"
        return "the signature holds"


class Hearing(BaseHTTPRequestHandler):
    """One request."""

    server: Listener

    def do_POST(self) -> None:
        """Hear a delivery: 204, or 400 if its signature does not hold."""
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(min(int(length), LARGEST)) if length.isascii() and length.isdigit() else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(204 if self.server.take(headers, body) else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Leave the saying to the listener."""


def read_type(body: bytes) -> str:
    """Read what a delivery tells of."""
    try:
        told: Any = json.loads(body)
        return str(told["type"])[:60]
    except (ValueError, KeyError, TypeError):
        return "no event of ours"


def write(folder: Path, name: str, headers: Mapping[str, str], body: bytes) -> None:
    """Keep a delivery as it came: `<id>.body`, and `<id>.headers` in the form that curl reads."""
    safe = "".join(letter for letter in name if letter.isalnum() or letter in "_-") or "unnamed"
    (folder / f"{safe}.body").write_bytes(body)
    told = [f"{key}: {value}\n" for key, value in headers.items() if key.startswith("webhook-")]
    (folder / f"{safe}.headers").write_text("".join(told))


def opened(port: int, secret: str | None, keep: Path | None, say: Callable[[str], None]) -> Listener:
    """Open a listener, or say what is in its way."""
    try:
        return Listener(port, secret, keep, say)
    except ValueError as no:
        raise InvalidInput(f"WEBHOOK_SECRET is no secret of ours ({no}): they begin with whsec_.") from no
    except OSError as no:
        raise InvalidInput(f"{no.filename or f'Port {port}'} is not to be had ({no.strerror}): name another.") from no


def listen(port: int, secret: str | None, keep: Path | None, count: int | None, say: Callable[[str], None]) -> None:
    """Listen until so many have come, or somebody interrupts. Raises InvalidInput for what would fail later on."""
    listener = opened(port, secret, keep, say)
    say(f"Listening on http://{HOST}:{listener.server_port}/ ; the house needs WEBHOOK_HOSTS={HOST} to send here.")
    serving = Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        while count is None or listener.heard < count:
            serving.join(0.05)
    except KeyboardInterrupt:
        say("")
    listener.shutdown()
    listener.server_close()
