"""What the demo notes of each step, and the proof that the files it left can be opened."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.demo_screen import Screen, Tell
from gpu_handlers.proof import prove
from tools import catalog

#: How a result names its file.
FILES = ("r2_path", "model_string")


@dataclass
class Step:
    """One step of a run, as it goes on."""

    name: str
    tool: str
    #: Where its file comes to.
    place: Path
    tell: Tell
    status: str = "failed"
    seconds: float = 0.0
    r2_path: str | None = None
    file: Path | None = None

    def expect(self, result: Mapping[str, Any]) -> Path:
        """Note where the result's file lies in the bucket, and say where it shall come to."""
        self.r2_path = next(result[name] for name in FILES if result.get(name))
        self.place.parent.mkdir(parents=True, exist_ok=True)
        return self.place

    def check(self, file: Path, params: Mapping[str, Any]) -> None:
        """Decode the file to its end. Raises NoOutput."""
        self.tell("decoding", 1.0)
        tool = catalog.find(self.tool)
        prove(file, tool.suffix, tool.check(params))
        self.file = file

    def show(self) -> dict[str, Any]:
        """Show it as the report does."""
        return {
            "step": self.name, "tool": self.tool, "status": self.status, "seconds": round(self.seconds, 2),
            "r2_path": self.r2_path, "file": self.file and self.file.as_posix(),
        }  # fmt: skip


@dataclass
class Report:
    """All steps, written to `report.json` in `folder` after each of them."""

    folder: Path
    screen: Screen
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write()

    @contextmanager
    def step(self, run: str, tool: str) -> Iterator[Step]:
        """Do a step: it has completed when nothing is raised."""
        begun = time.monotonic()
        with self.screen.live(f"{run}.{tool}") as tell:
            step = Step(f"{run}.{tool}", tool, self.folder / run / f"{tool}{catalog.find(tool).suffix}", tell)
            step.place.unlink(missing_ok=True)  # what an earlier demo left would look like the file of this one
            self.steps.append(step)
            try:
                yield step
                step.status = "completed"
            finally:
                step.seconds = time.monotonic() - begun
                self.write()
        self.screen.say(f"  {step.name:<24} {step.status:<10} {step.seconds:6.1f} s")

    def write(self) -> None:
        """Write all steps down."""
        shown = {"steps": [step.show() for step in self.steps]}
        (self.folder / "report.json").write_text(json.dumps(shown, indent=2) + "\n")

    def failed(self) -> str:
        """Name the step that failed, to begin a sentence with; empty if all was well until now."""
        return "".join(f"{step.name} failed: " for step in self.steps if step.status != "completed")

    def table(self) -> str:
        """List the steps with their files."""
        rows = [f"  {step.name:<24} {step.seconds:6.1f} s   {step.file or '-'}" for step in self.steps]
        return "\n".join(rows)
