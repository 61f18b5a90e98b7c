"""Markup in every text that the API takes, and then a real browser that opens every page: nothing of it runs."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from db.base import transaction
from embedded.demo_photos import shipped
from embedded.ports import any_free
from storage.door import take_picture
from tasks import mask
from tests.api.asking import PATIENCE_S, paint, serve
from tests.canaries import FLOWER
from tests.conftest import Processes, wait_until
from tests.db import hearing
from tests.rig import pass_on
from tests.tasks.house import House, wait_for_end
from tests.threats.browser import Browser, browsing, find

pytestmark = pytest.mark.skipif(not find(), reason="no Chromium here that could open the pages")

#: Sets the title of the page in which it runs. The short one fits whole into what Flower shows of a text.
MARKUP = "<img src=x onerror=document.title='pwned'>"
SHORT = "<img src=x onerror=p()>"

#: What is true once a browser has taken either for more than text.
RAN = "document.title == 'pwned' || !!document.querySelector('[onerror]')"

HOOK = "http://127.0.0.1:9/"
#: What stands in a page where it has been shown as the text that it is.
ESCAPED = "&lt;img src=x onerror="

#: The texts that take any word; all else that is a string is refused when it is markup.
FREE = {
    "generate/async": {"prompt", "negative_prompt"}, "mask/async": {"object_name"}, "inpaint/async": {"prompt"},
    "video/async": {"prompt"}, "train": {"model_name"}, "templates": {"name", "prompt"}, "flows": {"name"},
    "batches": {"name"}, "webhooks": {"name"},
}  # fmt: skip


class Stage:
    """A house, with an API and Flower before it."""

    def __init__(self, processes: Processes) -> None:
        env = {"WEBHOOK_HOSTS": "127.0.0.1", "FLOWER_BASIC_AUTH": f"user:{FLOWER}"}
        port = any_free(set())
        self.flower = f"http://127.0.0.1:{port}"
        started = processes.start("packshot", "flower", "--address=127.0.0.1", f"--port={port}", env=env)
        House(processes, gpus=1, env=env)
        self.site = serve(processes, env)
        started.wait_for(lambda: "Visit me" in started.said(), PATIENCE_S)
        self.routes = requests.get(f"{self.site}/openapi.json", timeout=PATIENCE_S).json()["paths"]
        self.ids: dict[str, list[str]] = {}
        self.tools: dict[str, str] = {}

    def send(self, path: str, body: dict[str, Any]) -> requests.Response:
        """Send a body, and remember every id and file that the answer names."""
        answer = requests.post(f"{self.site}/api/{path}", json=body, timeout=PATIENCE_S)
        if answer.ok:
            self.remember(path, answer.json())
        return answer

    def remember(self, path: str, told: dict[str, Any]) -> None:
        """Remember what can be asked about."""
        named = {**told, "template_id": told.get("id")}
        for name in ("job_id", "flow_id", "batch_id", "webhook_id", "model_id", "template_id"):
            if named.get(name) and str(named[name]) not in self.ids.setdefault(name, []):
                self.ids[name].append(str(named[name]))
        if "job_id" in told:
            self.tools[told["job_id"]] = path.partition("/")[0]

    def pages(self) -> Iterator[str]:
        """List every address of the API that a browser may open, with all that is known in the place of each name."""
        yield from ("/", "/docs", "/docs/problems", "/openapi.json", f"/api/{MARKUP}", f"/api/jobs?{MARKUP}={MARKUP}")
        for path, verbs in self.routes.items():
            name = path.partition("{")[2].partition("}")[0]
            if "get" in verbs:
                yield from {path.replace(f"{{{name}}}", one) for one in (*self.known(path, name), MARKUP)}

    def known(self, path: str, name: str) -> list[str]:
        """Give what may stand in the place of a name: each job at its own tool, and where all of it is told."""
        ids = self.ids.get(name, [])
        if name != "job_id" or path == "/api/jobs/{job_id}":
            return ids
        room = path.split("/")[2]
        tool = "train" if room == "training-status" else room
        return [job for job in ids if self.tools[job] == tool] or ids[-1:]


@pytest.fixture
def stage(database: str, s3: Mapping[str, str], processes: Processes) -> Iterator[Stage]:  # noqa: ARG001 - they must run
    yield Stage(processes)
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, flows, models, templates CASCADE"))
    hearing.forget()  # and not the receiver that is always there, which tests after this one ask for


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path) as opened:
        yield opened


def test_markup_in_every_text_runs_on_no_page(stage: Stage, browser: Browser) -> None:
    write_everywhere(stage)  # the training first, as the others want its model
    results = [job["result"] for job in wait_for_end(*stage.ids["job_id"], patience_s=120) if job["result"]]
    files = {result[name] for result in results for name in ("image_url", "video_url") if name in result}
    assert len(files) == 4
    for page in [*files, *stage.pages()]:
        browser.open(f"{stage.site}{page}")
        assert not browser.look(RAN), page
    play(browser, next(f"{stage.site}{file}" for file in files if file.endswith(".mp4")))
    look_at_flower(stage, browser)


def play(browser: Browser, film: str) -> None:
    """Open a film: what keeps markup from running must not keep it from being seen."""
    browser.open(film)
    if not browser.look("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.42E01E\"')"):
        return  # a Chromium without patents
    wait_until(lambda: browser.look("document.querySelector('video').videoWidth > 0"), PATIENCE_S)


def write_everywhere(stage: Stage) -> None:
    """Put markup into each string of each request; hold that those take it of which we know, and no other does."""
    photos = [take_picture(photo) for photo in shipped().photos[:4]]
    write(stage, "train", {"images": photos, "model_name": MARKUP, "trigger_word": "TOK"})
    model = wait_for_end(*stage.ids["job_id"], patience_s=120)[0]["result"]
    for path, good in bodies(model["model_id"], *photos).items():
        write(stage, path, good)


def write(stage: Stage, path: str, good: dict[str, Any]) -> None:
    """Put markup into each string of a request."""
    schema = stage.routes[f"/api/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    texts = {name for name, field in schema["properties"].items() if '"string"' in json.dumps(field)}
    for name in texts - FREE[path]:
        assert stage.send(path, {**good, name: MARKUP}).status_code == 422, (path, name)
    taken = stage.send(path, good | dict.fromkeys(FREE[path], MARKUP))
    assert taken.ok, (path, taken.text)


def look_at_flower(stage: Stage, browser: Browser) -> None:
    """Open Flower's list and the page of each task, of jobs and of what somebody sends from Python."""
    sent = pass_on.delay(MARKUP, SHORT).id, mask.delay(image_url=take_picture(paint()), object_name=SHORT).id
    carried = base64.b64encode(f"user:{FLOWER}".encode()).decode()
    browser.carry({"Authorization": f"Basic {carried}"})
    told = {job: job for job in stage.ids["job_id"]} | dict.fromkeys(sent, ESCAPED)
    for path, words in {
        "tasks": sent[0],
        **{f"task/{task}": said for task, said in told.items()},
        "broker": "",
    }.items():
        browser.open(f"{stage.flower}/{path}", words)
        assert not browser.look(RAN), path


def bodies(model_id: int, *photos: str) -> dict[str, dict[str, Any]]:
    """Give a body for each other request that makes something."""
    step = {"id": "a", "tool": "nap", "with": {"fate": "${inputs.said}"}}
    return {
        "generate/async": {"model_id": model_id, "prompt": "a", "width": 256, "height": 256},
        "mask/async": {"image_url": photos[1], "object_name": "bag"},
        "inpaint/async": {"scene_url": photos[1], "reference_url": photos[0]},
        "video/async": {"image_url": photos[1], "width": 256, "height": 256, "length": 5},
        "templates": {"name": "a", "prompt": "b"},
        "flows": {"inputs": {"said": MARKUP}, "steps": [step]},
        "batches": {"tool": "nap", "base": {}, "items": [{"fate": MARKUP}]}, "webhooks": {"url": HOOK},
    }  # fmt: skip
