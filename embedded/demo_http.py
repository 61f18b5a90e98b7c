"""The first run of the demo: every tool over HTTP, as any program in any language would ask for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from embedded.contact_story import Made, Story
from embedded.demo_client import Client, Upload
from embedded.demo_photos import Product
from embedded.demo_report import Report, Step
from embedded.demo_script import TEMPLATE, Script
from storage.address import parse
from storage.bucket import bucket
from tools import catalog
from tools.errors import recall

#: The run's name, in the names of its steps.
RUN = "http"
POLL_S = 0.2
RUNNING = ("pending", "processing")


def run(report: Report, client: Client, script: Script, alive: Callable[[], object]) -> str:
    """Do the main job. Gives the id of the template that it made.

    Args:
        report: Where each step is noted.
        client: The API.
        script: What is asked of each tool.
        alive: Raises when the house has come down, so that nobody waits for it.
    """
    caller = Caller(report, client, script, alive)
    model = caller.train()
    template_id, prompt = caller.resolve(model["trigger_word"])
    image = caller.generate({"model_id": model["model_id"]}, prompt)
    mask = caller.do("mask", {"image_url": image["r2_path"]})
    filled = caller.inpaint(mask["r2_path"])
    caller.do("video", {"image_url": filled["r2_path"]})
    return template_id


@dataclass(frozen=True)
class Caller:
    """Asks for one tool after the other."""

    report: Report
    client: Client
    script: Script
    alive: Callable[[], object]

    def train(self) -> dict[str, Any]:
        """Send the photos, and poll until the model is there."""
        with self.report.step(RUN, "train") as step:
            photos = Upload("photos.zip", self.script.zip_photos())
            asked = self.client.post_form("/api/train", images=photos, **self.script.ask("train"))
            self.wait(step, asked.job_id)
            job = self.ended(asked.job_id)
            status: dict[str, Any] = self.client.get(f"/api/training-status/{asked.job_id}")
            # People get a model by its id; its file has no route.
            step.check(bucket().download(parse(status["model_string"]).key, step.expect(status)), job)
            step.path = f"/api/models/{status['model_id']}"
        return status

    def resolve(self, trigger_word: str) -> tuple[str, str]:
        """Make a template, and put the trigger word into it."""
        with self.report.step(RUN, "resolve_template") as step:
            picture = Upload("template.png", self.script.product.reference)
            template = self.client.post_form("/api/templates", image=picture, **TEMPLATE).body
            resolved = self.client.post(f"/api/templates/{template['id']}/resolve", {"trigger_word": trigger_word})
            step.path = f"/api/templates/{template['id']}"
        return template["id"], resolved.body["resolved_prompt"]

    def generate(self, model: Mapping[str, Any], prompt: str) -> dict[str, Any]:
        """Ask for all scenes together, so that the workers share them, and give the first of them."""
        steps = {
            self.report.begin(RUN, "generate", scene): params for scene, params in self.script.scenes(prompt).items()
        }
        waiting = {step: self.submit("generate", {**params, **model}) for step, params in steps.items()}
        while waiting:
            for step in [step for step, job_id in waiting.items() if self.has_ended(step, job_id)]:
                with self.report.ending(step):
                    self.take(step, waiting.pop(step))
            self.alive()
            time.sleep(POLL_S)
        return result_of(next(iter(steps)))

    def inpaint(self, scene_url: str) -> dict[str, Any]:
        """Bring a photo of the product in, and put it into the scene."""
        photo = Upload("reference.png", self.script.product.reference)
        reference = self.client.post_form("/api/uploads", image=photo).body["r2_path"]
        return self.do("inpaint", {"scene_url": scene_url, "reference_url": reference})

    def do(self, tool: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask, and poll until it is done."""
        with self.report.step(RUN, tool) as step:
            job_id = self.submit(tool, {**self.script.ask(tool), **params})
            self.wait(step, job_id)
            self.take(step, job_id)
        return result_of(step)

    def submit(self, tool: str, params: Mapping[str, Any]) -> str:
        """Ask without waiting. Gives the job's id."""
        return self.client.post(f"/api/{tool}/async", params).job_id

    def wait(self, step: Step, job_id: str) -> None:
        """Poll until a job has ended."""
        while not self.has_ended(step, job_id):
            self.alive()
            time.sleep(POLL_S)

    def has_ended(self, step: Step, job_id: str) -> bool:
        """Look how far a job is."""
        job = self.client.get(f"/api/jobs/{job_id}")
        step.tell(job["stage"] or job["status"], job["progress"] or 0.0)
        return job["status"] not in RUNNING

    def ended(self, job_id: str) -> dict[str, Any]:
        """Read a job that has ended. Raises what it has failed with."""
        job: dict[str, Any] = self.client.get(f"/api/jobs/{job_id}")
        if job["error"]:
            raise recall(job["error"])
        return job

    def take(self, step: Step, job_id: str) -> None:
        """Download a job's file by its own route."""
        job = self.ended(job_id)
        step.path = job["result"].get("image_url") or job["result"]["video_url"]
        step.check(self.client.download(step.path, step.expect(job["result"])), job)


def result_of(step: Step) -> dict[str, Any]:
    """Give what the next tool goes on with."""
    found: dict[str, Any] = step.job["result"]
    return found


def tell(report: Report, client: Client, product: Product) -> Story:
    """Tell the story of a run that has been done."""
    by_tool = {tool: [step for step in report.of(RUN) if step.tool == tool] for tool in catalog.TOOLS}
    made = {
        tool: [Made(step.file, step.job["params"]) for step in steps if step.file] for tool, steps in by_tool.items()
    }
    (train,), (mask,), (inpainted,), (film,) = by_tool["train"], made["mask"], made["inpaint"], made["video"]
    return Story(
        name=product.name,
        trigger_word=product.trigger_word,
        engine=train.job["engine"],
        photos=product.photos,
        reference=product.reference,
        cutouts=read_cutouts(client, train),
        scenes=made["generate"],
        mask=mask,
        inpainted=inpainted,
        film=film,
    )


def read_cutouts(client: Client, train: Step) -> tuple[bytes, int] | None:
    """Bring what a model keeps of its cut-outs, if it keeps any."""
    url = client.get(str(train.path)).get("cutouts_url")
    return (client.read(url), train.job["facts"]["kept"]) if url else None
