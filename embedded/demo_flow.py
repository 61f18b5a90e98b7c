"""The third run of the demo: the same as one flow, and once more from inpaint. The environment must name the house."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from embedded import demo_chain
from embedded.demo_client import Client
from embedded.demo_report import Report, Step
from embedded.demo_script import Script
from storage.door import take_picture
from tasks import resolve_template
from tools.errors import UpstreamFailed, recall

#: The run's name, in the names of its steps.
RUN = "flow"
POLL_S = 0.2
OVER = ("completed", "failed", "cancelled", "skipped")

#: What the retry does once more, and by what word these steps are told from the first ones.
AGAIN, WORD = ("inpaint", "video"), "again"


def run(report: Report, client: Client, template_id: str, script: Script, alive: Callable[[], object]) -> None:
    """Do the main job in one request; then change the prompt of inpaint, and keep all before it.

    Args:
        report: Where each step is noted.
        client: The API.
        template_id: The template to resolve.
        script: What is asked of each tool.
        alive: Raises when the house has come down, so that nobody waits for it.
    """
    caller = Caller(report, client, alive)
    flow_id = client.post("/api/flows", {"name": "demo", "steps": ask(template_id, script)}).body["flow_id"]
    caller.follow(flow_id, demo_chain.TOOLS)
    prompt = f"{script.product.trigger_word} at night in the rain"
    changes = {"overrides": {"inpaint": {"prompt": prompt}}}
    caller.follow(client.post(f"/api/flows/{flow_id}/retry", changes).body["flow_id"], AGAIN, WORD)


def ask(template_id: str, script: Script) -> list[dict[str, Any]]:
    """Write the steps down; what none of them is given comes from the step before, by kind."""
    more: dict[str, dict[str, Any]] = {
        "train": {"images": demo_chain.take_photos(script)},
        "resolve_template": {"template_id": template_id},
        "inpaint": {"reference_url": take_picture(script.product.reference)},
    }
    before: list[str] = []
    steps = []
    for tool in demo_chain.TOOLS:
        told = {} if tool == resolve_template.tool.name else script.ask(tool)
        steps.append({"id": tool, "tool": tool, "after": before[-1:], "with": {**told, **more.get(tool, {})}})
        before.append(tool)
    return steps


@dataclass(frozen=True)
class Caller:
    """Looks on at a flow."""

    report: Report
    client: Client
    alive: Callable[[], object]

    def follow(self, flow_id: str, names: Sequence[str], word: str = "") -> None:
        """Wait for these steps, one after the other, and read the file that each leaves."""
        for name in names:
            step = self.report.begin(RUN, name, word)
            with self.report.ending(step):
                demo_chain.take(step, self.wait(step, flow_id))

    def wait(self, step: Step, flow_id: str) -> dict[str, Any]:
        """Look at a step until it is over. Raises what its job has failed with."""
        while True:
            shown = self.client.get(f"/api/flows/{flow_id}")
            found = next(one for one in shown["steps"] if one["id"] == step.tool)
            if found["status"] in OVER:
                break
            job: dict[str, Any] = next(iter(found["jobs"]), {"stage": "waiting", "progress": 0.0})
            step.tell(job["stage"], job["progress"])
            self.alive()
            time.sleep(POLL_S)
        if found["status"] != "completed":
            raise recall(found["error"]) if found["error"] else UpstreamFailed
        return dict(self.client.get(f"/api/jobs/{found['jobs'][0]['job_id']}"))
