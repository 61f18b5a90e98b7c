"""Does what our Dockerfiles do, without Docker: `python -m scripts.images [target …]`.

For each image it makes an environment from the same lock, copies the same rooms into an empty folder, and there imports
what the image runs, as the user who runs it would: with nothing of this checkout on the path.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILES = (ROOT / "deploy/Dockerfile", ROOT / ".runpod/Dockerfile")

#: What each image must be able to import, and what it must not have.
IMPORTS = {
    "api": "import api.app; api.app.create_app()",
    "worker": "import tasks.app, tasks.run; tasks.app.app.finalize()",
    "gpu": "import tasks.app, tasks.handle, gpu_handlers.attempt, gpu_handlers.mask.preview",
    "house": "import flower, embedded.production, embedded.endpoints, embedded.flower, tasks.watch, db.schema",
    "s3": "pass",
    "box": "import tasks.app, tasks.handle, gpu_handlers.attempt, gpu_handlers.mask.gpu; tasks.app.app.finalize()",
    "handlers": "import runpod, gpu_handlers.entry, gpu_handlers.mask.gpu",
}
ROOMS = ("api", "db", "embedded", "gpu_handlers", "storage", "tasks", "tools")


@dataclass
class Stage:
    """One stage of a Dockerfile: what it is made from, and the instructions that matter here."""

    name: str
    #: The stage that it begins as, if that is one of ours.
    base: "Stage | None" = None
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        """List what its instructions of a kind say."""
        return [said for kind, said in self.instructions if kind == word]

    @property
    def line(self) -> "list[Stage]":
        """The stages that it comes from, and itself."""
        return [*(self.base.line if self.base else []), self]

    @property
    def lock(self) -> str:
        """The file that its packages come from, if it installs any."""
        return next((said.split()[0] for said in self.of("COPY") if said.startswith("requirements")), "")

    @property
    def packages(self) -> str:
        """The stage whose packages it has: one that it takes them over from, or one that it comes from."""
        taken = [said.split()[0].partition("=")[2] for said in self.of("COPY") if said.startswith("--from=")]
        return next(iter(taken), "") or next(stage.name for stage in reversed(self.line) if stage.lock)

    @property
    def copied(self) -> list[tuple[list[str], str]]:
        """What it copies of ours, and where to below its working directory."""
        lines = [said.split() for stage in self.line for said in stage.of("COPY") if not said.startswith("--from=")]
        return [(sources, target) for *sources, target in lines if not target.startswith("/")]

    @property
    def command(self) -> list[str]:
        """What it runs."""
        return self.starting()

    def starting(self, command: Sequence[str] | None = None) -> list[str]:
        """Say what runs when somebody gives a command of his own, or none."""
        own, usual = ([part for said in self.of(kind) for part in json.loads(said)] for kind in ("ENTRYPOINT", "CMD"))
        return [*own, *(usual if command is None else command)]

    @property
    def env(self) -> dict[str, str]:
        """What it tells its programs by the environment."""
        said = [words for stage in self.line for words in stage.of("ENV")]
        pairs = (part.partition("=") for words in said for part in shlex.split(words))
        return {name: value for name, _, value in pairs}


def read(*dockerfiles: Path) -> dict[str, Stage]:
    """Read the stages of Dockerfiles: of these, or of all."""
    stages: dict[str, Stage] = {}
    for dockerfile in dockerfiles or DOCKERFILES:
        text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
        for line in filter(str.strip, re.sub(r"\\\n", " ", text).splitlines()):
            word, said = line.strip().split(maxsplit=1)
            if word == "FROM":
                base, _, name = said.partition(" AS ")
                stages[name] = latest = Stage(name, stages.get(base))
            else:
                latest.instructions.append((word, said))
    return stages


def lay_out(stage: Stage, folder: Path) -> None:
    """Copy into a folder what an image has of ours, as its COPY lines say."""
    for sources, target in stage.copied:
        for source in sources:
            whole, place = ROOT / source, folder / target
            if whole.is_dir():
                shutil.copytree(whole, place, ignore=shutil.ignore_patterns("__pycache__", "README.md"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(whole, place)


def install(stage: Stage, venv: Path) -> None:
    """Make an environment of exactly what a stage installs."""
    lock = ROOT / stage.lock
    options = ["--require-hashes"]
    if "awk" in "".join(stage.of("RUN")):
        (program,) = re.findall(r"awk '(.+?)'", stage.of("RUN")[0])
        picked = run("awk", program, str(lock))
        lock = venv.parent / "picked.lock"
        lock.write_text(picked)
        options.append("--no-deps")
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--relocatable", str(venv))  # elsewhere, it lies where the image has it
    run(*uv, "pip", "install", "--quiet", "--python", str(venv), *options, "-r", str(lock))


def try_out(stage: Stage, folder: Path, python: Sequence[str]) -> Iterator[str]:
    """Import what an image runs, and see that it has no other room; gives what is wrong."""
    wrong = {room for room in ROOMS if (folder / room).exists()} ^ {room for room in ROOMS if in_image(stage, room)}
    yield from (f"{stage.name}: the room {room} is not as the Dockerfile says" for room in wrong)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*python, "-c", IMPORTS[stage.name]], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield f"{stage.name}: {done.stderr.strip().splitlines()[-1]}"


def in_image(stage: Stage, room: str) -> bool:
    """Tell whether an image has some of a room."""
    return any(source.split("/")[0] == room for sources, _ in stage.copied for source in sources)


def run(*command: str) -> str:
    """Run a command; its output."""
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def make(stages: dict[str, Stage], name: str, place: Path) -> tuple[Path, Path]:
    """Make an image's two folders in a place: `app`, with what it has of ours, and `venv`, with its packages."""
    folder, venv = place / "app", place / "venv"
    folder.mkdir(parents=True)
    install(stages[stages[name].packages], venv)
    lay_out(stages[name], folder)
    return folder, venv


def build(stages: dict[str, Stage], name: str) -> list[str]:
    """Do one image from its first line to its last; gives what is wrong."""
    stage = stages[name]
    with tempfile.TemporaryDirectory(prefix="packshot-image-") as made:
        folder, venv = make(stages, name, Path(made))
        wrong = list(try_out(stage, folder, [str(venv / "bin/python")]))
        if not (venv / "bin" / stage.command[0]).exists():
            wrong.append(f"{name}: there is no {stage.command[0]} to run {shlex.join(stage.command)}")
        size = int(run("du", "-sk", str(venv), str(folder)).split()[0]) // 1024
    print(f"{'ok  ' if not wrong else 'FAIL'}  {name:<7} {size} MB of packages from {stages[stage.packages].lock}")
    return wrong


def main(names: Sequence[str]) -> int:
    """Do all images, or those that are named."""
    stages = read()
    wrong = [one for name in names or IMPORTS for one in build(stages, name)]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
