"""The first run of the demo: every tool over HTTP, as any program in any language would ask for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from embedded.demo_client import Client, Upload
from embedded.demo_report import Report, Step
from embedded.demo_script import REFERENCE, TEMPLATE, Script, zip_photos
from storage.address import parse
from storage.bucket import bucket
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
    image = caller.generate({"model_id": model["model_id"], "prompt": prompt})
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
            photos = Upload("photos.zip", zip_photos())
            asked = self.client.post_form("/api/train", images=photos, **self.script["train"])
            status = self.poll(step, f"/api/training-status/{asked.job_id}", asked.job_id)
            # People get a model by its id; its file has no route.
            file = bucket().download(parse(status["model_string"]).key, step.expect(status))
            step.check(file, self.client.get(f"/api/jobs/{asked.job_id}")["params"])
        return status

    def resolve(self, trigger_word: str) -> tuple[str, str]:
        """Make a template, and put the trigger word into it."""
        with self.report.step(RUN, "resolve_template"):
            picture = Upload("template.png", REFERENCE.read_bytes())
            template = self.client.post_form("/api/templates", image=picture, **TEMPLATE).body
            resolved = self.client.post(f"/api/templates/{template['id']}/resolve", {"trigger_word": trigger_word})
        return template["id"], resolved.body["resolved_prompt"]

    def generate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a picture, and poll until it is there."""
        with self.report.step(RUN, "generate") as step:
            asked = self.client.post("/api/generate/async", {**self.script["generate"], **params})
            self.poll(step, f"/api/generate/{asked.job_id}", asked.job_id)
            return self.take(step, asked.job_id)

    def inpaint(self, scene_url: str) -> dict[str, Any]:
        """Bring a photo of the product in, and put it into the scene."""
        photo = Upload(REFERENCE.name, REFERENCE.read_bytes())
        reference = self.client.post_form("/api/uploads", image=photo).body["r2_path"]
        return self.do("inpaint", {"scene_url": scene_url, "reference_url": reference})

    def do(self, tool: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Ask, and stay on the line until the answer comes."""
        with self.report.step(RUN, tool) as step:
            step.tell("waiting for the answer", 0.0)
            asked = self.client.post(f"/api/{tool}", {**self.script[tool], **params})
            self.poll(step, f"/api/jobs/{asked.job_id}", asked.job_id)
            return self.take(step, asked.job_id)

    def poll(self, step: Step, path: str, job_id: str) -> dict[str, Any]:
        """Ask again and again until it has ended. Raises what the job has failed with."""
        while (said := self.client.get(path))["status"] in RUNNING:
            job = said if "stage" in said else self.client.get(f"/api/jobs/{job_id}")  # a training says less
            step.tell(job["stage"] or job["status"], job["progress"] or 0.0)
            self.alive()
            time.sleep(POLL_S)
        if said["status"] != "completed":
            raise recall(self.client.get(f"/api/jobs/{job_id}")["error"])
        found: dict[str, Any] = said
        return found

    def take(self, step: Step, job_id: str) -> dict[str, Any]:
        """Download the job's file by its own route, and give the result."""
        job = self.client.get(f"/api/jobs/{job_id}")
        result: dict[str, Any] = job["result"]
        url = result.get("image_url") or result["video_url"]
        step.check(self.client.download(url, step.expect(result)), job["params"])
        return result
