"""What the contact sheet of a demo is told: the files of its first run, and cut-outs where a model keeps them."""

import io
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from embedded import demo_http
from embedded.demo_client import Client
from embedded.demo_photos import shipped
from embedded.demo_report import Report
from embedded.demo_screen import Screen

CUTOUTS = "/api/models/7/cutouts"


@pytest.fixture
def answers() -> Iterator[tuple[Client, dict[str, bytes]]]:
    """Serve what a test puts into the table, as an API would."""
    table: dict[str, bytes] = {}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in table else 404)
            self.end_headers()
            self.wfile.write(table.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Client(f"http://127.0.0.1:{server.server_address[1]}"), table
        server.shutdown()
        thread.join()


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Do a run, as if each tool had done its work."""
    done = Report(tmp_path, Screen(Console(file=io.StringIO())))
    jobs: list[tuple[str, str, Mapping[str, object]]] = [
        ("train", "", {"engine": "preview", "params": {}, "facts": {"kept": 3}}),
        ("generate", "", {"params": {"prompt": "first"}}),
        ("generate", "beach", {"params": {"prompt": "second"}}),
        *((tool, "", {"params": {"seed": 7}}) for tool in ("mask", "inpaint", "video")),
    ]
    for tool, scene, job in jobs:
        step = done.begin("http", tool, scene)
        with done.ending(step):
            step.job, step.file = job, step.place
            step.path = "/api/models/7" if tool == "train" else None
    return done


def test_a_model_that_keeps_cutouts_shows_them(answers: tuple[Client, dict[str, bytes]], report: Report) -> None:
    client, table = answers
    sheet = io.BytesIO()
    Image.new("RGBA", (1280, 320), (255, 0, 0, 90)).save(sheet, "PNG")
    table["/api/models/7"] = json.dumps({"model_id": 7, "cutouts_url": CUTOUTS}).encode()
    table[CUTOUTS] = sheet.getvalue()
    told = demo_http.tell(report, client, shipped())
    assert told.cutouts == (sheet.getvalue(), 3)
    assert [cutout.size for cutout in told.cut()] == [(320, 320)] * 3
    assert [cutout.getpixel((9, 9)) for cutout in told.cut()] == [(255, 0, 0, 90)] * 3


def test_a_model_that_keeps_none_is_told_without(answers: tuple[Client, dict[str, bytes]], report: Report) -> None:
    client, table = answers
    table["/api/models/7"] = json.dumps({"model_id": 7}).encode()
    told = demo_http.tell(report, client, shipped())
    assert told.cutouts is None
    assert list(told.cut()) == []
    assert [scene.params["prompt"] for scene in told.scenes] == ["first", "second"]
    assert told.mask.file == report.folder / "http" / "mask.png"
    assert (told.engine, told.name, told.trigger_word) == ("preview", "Red handbag", "TOK_HANDBAG")
