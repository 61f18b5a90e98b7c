"""What the demo notes of each step, and the proof that the files it left can be opened."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.demo_screen import Bar, Screen, Tell
from gpu_handlers.proof import prove
from tools import catalog
from tools.errors import ToolError

#: How a result names its file.
FILES = ("r2_path", "model_string")


@dataclass(eq=False)
class Step:
    """One step of a run, as it goes on."""

    run: str
    tool: str
    #: Which of several that one tool makes; empty for the one that the next tool goes on with.
    scene: str
    #: Where its file shall lie.
    place: Path
    bar: Bar = field(init=False)
    status: str = "running"
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    r2_path: str | None = None
    file: Path | None = None
    #: Where the house serves what it made.
    path: str | None = None
    #: As GET /api/jobs/<id> shows it, once it has ended; empty of a step that is no job.
    job: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in the report."""
        return ".".join(filter(None, (self.run, self.tool, self.scene)))

    @property
    def title(self) -> str:
        """Its name on the screen, below that of its run."""
        return " ".join(filter(None, (self.tool, self.scene)))

    @property
    def local(self) -> str:
        """Where its file lies on this machine; empty if it left none."""
        return self.file.as_posix() if self.file else ""

    @property
    def tell(self) -> Tell:
        """What hears how far it is."""
        return self.bar.tell

    def expect(self, result: Mapping[str, Any]) -> Path:
        """Note where the result's file lies in the bucket, and say where it shall come to."""
        self.r2_path = next(result[name] for name in FILES if result.get(name))
        self.place.parent.mkdir(parents=True, exist_ok=True)
        return self.place

    def check(self, file: Path, job: Mapping[str, Any]) -> None:
        """Decode the file that a job left to its end. Raises NoOutput."""
        self.tell("decoding", 1.0)
        tool = catalog.find(self.tool)
        prove(file, tool.suffix, tool.check(job["params"]))
        self.file, self.job = file, job

    def show(self) -> dict[str, Any]:
        """Show it as the report does."""
        return {
            "step": self.name, "tool": self.tool, "status": self.status, "seconds": round(self.seconds, 2),
            "r2_path": self.r2_path, "file": self.local or None,
        }  # fmt: skip


@dataclass
class Report:
    """All steps, written to `report.json` in `folder` after each of them."""

    folder: Path
    screen: Screen
    #: The API, if it stays up when the demo is over; else files are named where they lie.
    base: str | None = None
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sheet.unlink(missing_ok=True)
        self.write()

    @property
    def sheet(self) -> Path:
        """Where the contact sheet comes to."""
        return self.folder / "contact-sheet.png"

    @contextmanager
    def step(self, run: str, tool: str) -> Iterator[Step]:
        """Do a step: it has completed when nothing is raised."""
        step = self.begin(run, tool)
        with self.ending(step):
            yield step

    def begin(self, run: str, tool: str, scene: str = "") -> Step:
        """Begin a step; there may be several at a time."""
        place = self.folder / run / f"{'-'.join(filter(None, (tool, scene)))}{catalog.find(tool).suffix}"
        place.unlink(missing_ok=True)  # what an earlier demo left would look like the file of this one
        step = Step(run, tool, scene, place)
        step.bar = self.screen.open(step.title)
        self.steps.append(step)
        return step

    @contextmanager
    def ending(self, step: Step) -> Iterator[None]:
        """Do the end of a step: it has completed when nothing is raised."""
        try:
            yield
            step.status = "completed"
        except ToolError:
            step.status = "failed"
            raise
        finally:
            self.close(step)

    def close(self, step: Step) -> None:
        """Stop the clock of a step, take its bar away, and say what came of it."""
        step.seconds = time.monotonic() - step.begun
        step.status = "stopped" if step.status == "running" else step.status
        self.write()
        step.bar.close()
        self.screen.line(step.status, step.title, step.seconds, self.address(step))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Do all steps: none is left open, whatever ends them, or its bar would go on."""
        try:
            yield
        finally:
            for step in self.steps:
                if step.status == "running":
                    self.close(step)

    def address(self, step: Step) -> str:
        """Say where to open what a step made; empty if it made nothing that can be opened."""
        if self.base and step.path:
            return self.base + step.path
        return step.local

    def write(self) -> None:
        """Write all down."""
        shown = {
            "steps": [step.show() for step in self.steps],
            "contact_sheet": self.sheet.as_posix() if self.sheet.exists() else None,
            "warnings": [{"tool": tool, "message": message} for tool, message in self.warnings()],
        }
        (self.folder / "report.json").write_text(json.dumps(shown, indent=2) + "\n")

    def warnings(self) -> list[tuple[str, str]]:
        """List what the tools said of their results, each sentence once for its tool."""
        said = [(step.tool, note["message"]) for step in self.steps for note in step.job.get("warnings", [])]
        return list(dict.fromkeys(said))

    def failed(self) -> str:
        """Name the step that failed, to begin a sentence with; empty if none did."""
        return "".join(f"{step.name} failed: " for step in self.steps if step.status == "failed")

    def of(self, run: str) -> list[Step]:
        """Give the steps of one run."""
        return [step for step in self.steps if step.run == run]
