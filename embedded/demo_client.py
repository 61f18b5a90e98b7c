"""A caller of our HTTP API, with nothing but Python's own library."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from tools.errors import Unavailable, recall

#: Seconds of silence after which we give up; a synchronous call answers after 300 at most.
SILENCE_S = 360


class Upload(NamedTuple):
    """A file in a form."""

    name: str
    data: bytes


class Answer(NamedTuple):
    """What the API said."""

    body: Any
    #: Of the job that was asked for, if one was.
    job_id: str


class Client:
    """Asks the API at `base`. Each method raises what the API refuses with, and Unavailable when it is silent."""

    def __init__(self, base: str) -> None:
        self.base = base

    def get(self, path: str) -> Any:
        """Read JSON."""
        return self.ask(path).body

    def post(self, path: str, params: Mapping[str, Any]) -> Answer:
        """Send JSON."""
        return self.send(path, json.dumps(params).encode(), "application/json")

    def post_form(self, path: str, **fields: str | Upload) -> Answer:
        """Send a form, which may hold files."""
        boundary = uuid4().hex
        parts = [part(boundary, name, field) for name, field in fields.items()]
        body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
        return self.send(path, body, f"multipart/form-data; boundary={boundary}")

    def send(self, path: str, body: bytes, content_type: str) -> Answer:
        """Send a body."""
        return self.ask(path, body, {"Content-Type": content_type})

    def ask(self, path: str, *sent: Any) -> Answer:
        """Read a JSON answer; `sent` is a body and its headers, if there is one."""
        with opened(self.base + path, *sent) as answer:
            return Answer(json.load(answer), answer.headers.get("X-Job-Id", ""))

    def read(self, path: str) -> bytes:
        """Read a small file."""
        with opened(self.base + path) as answer:
            return answer.read()

    def download(self, path: str, to: Path) -> Path:
        """Bring a file."""
        with opened(self.base + path) as answer, to.open("wb") as file:
            shutil.copyfileobj(answer, file)
        return to


def part(boundary: str, name: str, field: str | Upload) -> bytes:
    """Write one field of a form."""
    named = f'; filename="{field.name}"' if isinstance(field, Upload) else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + (field.data if isinstance(field, Upload) else field.encode()) + b"\r\n"


@contextmanager
def opened(url: str, *sent: Any) -> Iterator[HTTPResponse]:
    """Open an answer; a problem document is raised as the error that it tells of."""
    request = urllib.request.Request(url, *sent)  # noqa: S310 - our own http://
    try:
        with urllib.request.urlopen(request, timeout=SILENCE_S) as answer:  # noqa: S310 - the same
            yield answer
    except urllib.error.HTTPError as refused:
        with refused:
            if refused.headers.get_content_type() != "application/problem+json":
                raise Unavailable(f"{url} answered {refused.code} {refused.reason}.") from refused
            raise recall(json.load(refused)) from refused
    except (OSError, HTTPException) as broken:
        raise Unavailable(f"{url} could not be read: {broken}.") from broken
