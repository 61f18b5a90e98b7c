"""A desk beside a ComfyUI: whole attempts of the engine `gpu`, with the files in a real bucket."""

import io
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gpu_handlers.attempt import run_attempt
from settings import settings
from storage.bucket import bucket
from tools.outcome import Outcome

Pixels = NDArray[np.uint8]


@dataclass
class Desk:
    """Asks for tools and looks at what came."""

    told: list[tuple[float, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    timeout_s: float | None = None

    def put(self, name: str, content: Pixels | bytes) -> str:
        """Store a picture, or any file; returns its address."""
        data = content if isinstance(content, bytes) else encode(content)
        kind = "image/png" if name.endswith(".png") else "application/octet-stream"
        bucket().put(f"uploads/comfyui/{name}", data, content_type=kind)
        return f"r2://{settings().s3_bucket}/uploads/comfyui/{name}"

    def ask(self, tool: str, found: Mapping[str, Any] | None = None, **params: Any) -> Outcome:
        """Make an attempt."""
        task: dict[str, Any] = {"job_id": "j1", "attempt_id": str(uuid.uuid4()), "tool": tool, "params": params}
        task |= {"found": found or {}, "timeout_s": self.timeout_s}
        hear = lambda *told: self.told.append(told)  # noqa: E731 - an ear, used once
        return run_attempt(task, report=hear, stop=self.stop, keep=lambda _outcome: True)

    def make(self, tool: str, found: Mapping[str, Any] | None = None, **params: Any) -> Pixels:
        """Make an attempt that succeeds; returns its picture."""
        return self.pixels(self.ask(tool, found, **params))

    def pixels(self, outcome: Outcome) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(self.read(outcome))))

    def read(self, outcome: Outcome) -> bytes:
        assert outcome.file is not None, outcome.error
        return bucket().read(outcome.file.r2_path.split("/", 3)[3], 2**28)


def encode(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def draw_ball(width: int = 256, height: int = 256) -> Pixels:
    """Draw a red ball on blue."""
    y, x = np.mgrid[:height, :width]
    scene = np.full((height, width, 3), (90, 140, 200), np.uint8)
    scene[np.hypot(x - width / 2, y - height / 2) < min(width, height) / 5] = (220, 60, 40)
    return scene
