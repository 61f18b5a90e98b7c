"""One job of each tool, asked for over HTTP with a key, as any caller would."""

import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from embedded.demo_photos import shipped
from embedded.demo_script import TEMPLATE, Script

#: The tools of one flow, in their order; training comes before.
FLOW = ("resolve_template", "generate", "mask", "inpaint", "video")

OVER = {"completed", "failed", "cancelled", "expired"}
PATIENCE_S, POLL_S = 300, 0.1


@dataclass(frozen=True)
class Errand:
    """Asks the API at `base`; `meanwhile` is called while it waits."""

    base: str
    key: str
    meanwhile: Callable[[], object]

    def run(self) -> int:
        """Train, and use what was trained in a flow of all other tools; how many jobs completed."""
        script = Script(shipped(), small=True)
        photos = {"images": ("photos.zip", io.BytesIO(script.zip_photos()))}
        trained = self.end(f"/api/jobs/{self.ask('/api/train', data=script.ask('train'), files=photos)['job_id']}")
        asked = self.steps(script, trained["result"]["model_id"])
        flow = self.end(f"/api/flows/{self.ask('/api/flows', json={'steps': asked})['flow_id']}")
        return sum(one["status"] == "completed" for one in (trained, *flow["steps"]))

    def steps(self, script: Script, model_id: int) -> list[dict[str, Any]]:
        """Write the flow down: what no step is given here comes from the one before."""
        template = self.ask("/api/templates", json=TEMPLATE)
        picture = self.ask("/api/uploads", files={"image": ("product.png", script.product.reference)})
        word = {"template_id": template["id"], "trigger_word": script.product.trigger_word}
        given: dict[str, dict[str, Any]] = {
            "resolve_template": word,
            **{tool: script.ask(tool) for tool in FLOW[1:]},
        }
        given["generate"]["model_id"] = model_id
        given["inpaint"]["reference_url"] = picture["r2_path"]
        return [{"id": tool, "tool": tool, "after": list(FLOW[:n][-1:]), "with": given[tool]}
                for n, tool in enumerate(FLOW)]  # fmt: skip

    def ask(self, path: str, **sent: Any) -> dict[str, Any]:
        """Read JSON; with something to send, send it. Raises HTTPError."""
        bearer = {"Authorization": f"Bearer {self.key}"}
        answer = requests.request("POST" if sent else "GET", self.base + path, headers=bearer, timeout=60, **sent)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def end(self, path: str) -> dict[str, Any]:
        """Wait until a job or a flow is over. Ends the program if it does not get there."""
        until = time.monotonic() + PATIENCE_S
        while (told := self.ask(path))["status"] not in OVER:
            if time.monotonic() > until:
                sys.exit(f"{path} does not end: {told}")
            self.meanwhile()
            time.sleep(POLL_S)
        return told
