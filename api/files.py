"""Serve the files that jobs leave, so that a browser can show them and seek in them."""

import re
from uuid import UUID

from flask import Response, request

from db import pages
from settings import settings
from storage.address import parse
from storage.bucket import bucket
from tools.contract import Tool
from tools.errors import FileNotFound

#: A file is named for the attempt that made it; nothing else is looked for.
NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.(image_[2-8]))?(\.[a-z0-9]+)")

#: What a name stands for never changes. Where a key is needed, nobody may keep it for others.
KEPT = {"off": "public, max-age=31536000, immutable", "keys": "private, max-age=31536000, immutable"}

#: Whatever is in a file, a browser runs none of it. With an origin of nobody's it would play no film, either; without
#: scripts, that of ours is worth nothing to the file.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox allow-same-origin"
    ),
    "Content-Disposition": "inline",
}


def serve(filename: str, tool: Tool) -> Response:
    """Serve one file, or the part of it that `Range` names. Raises FileNotFound."""
    named = NAME.fullmatch(filename)
    if not named or named[3] != tool.suffix:
        raise FileNotFound
    file = pages.find_file(UUID(named[1]), tool.name, named[2])
    return send(file["r2_path"])


def send(r2_path: str) -> Response:
    """Send a file of ours from the bucket."""
    opened = bucket().open(parse(r2_path).key, request.headers.get("Range"))
    headers = {**opened.headers, **HEADERS, "Cache-Control": KEPT[settings().auth]}
    return Response(opened.body, opened.status, headers, direct_passthrough=True)
