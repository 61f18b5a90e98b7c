"""The app with a witness: each answer leaves a line `method rule status seconds` in the file that FUZZ_LEDGER names."""

import os
from pathlib import Path
from time import monotonic

from flask import Flask, Response, g, request

from api import app
from tests import rig  # noqa: F401 - it adds the tool nap


def create_app() -> Flask:
    """Make the app; the witness comes first, so that it sees what all the others made of an answer."""
    made = app.create_app()
    made.before_request_funcs.setdefault(None, []).insert(0, begin)
    made.after_request_funcs.setdefault(None, []).insert(0, note)
    return made


def begin() -> None:
    """Look at the clock."""
    g.began_at = monotonic()


def note(response: Response) -> Response:
    """Write one line, at once and whole."""
    seconds = monotonic() - g.get("began_at", monotonic())
    line = f"{request.method} {request.url_rule or '-'} {response.status_code} {seconds:.4f}\n"
    handle = os.open(Path(os.environ["FUZZ_LEDGER"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
    return response
