"""The walls of `make containers` hold what a container's would; the whole house within them is run by hand."""

import sys
from pathlib import Path

import pytest

from benchmarks import containers, service, walls
from scripts import images
from tests.deploy.compose import services

ENV = service.environment(images.read()["python"], {"WORD": "ours"}, "api")


@pytest.fixture
def box(tmp_path: Path) -> walls.Walls:
    """Make walls around an image that has nothing of ours, and our packages."""
    if why := walls.missing():
        pytest.skip(f"this kernel lets us make no walls: {why}")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/word.py").write_text("print('from the image')")
    (tmp_path / "venv").symlink_to(sys.prefix)
    (tmp_path / "volume").mkdir()
    return walls.Walls(tmp_path, "api", "size=1m", tmp_path / "volume")


def test_nobody_in_there_may_do_more_than_the_compose_file_says(box: walls.Walls) -> None:
    seen = box.look(ENV)
    assert set(seen.pop("writable")) == {"/tmp", "/dev/shm", "/data", "/proc"}
    assert seen == service.NOBODY


def test_a_program_sees_its_image_and_no_more_room_than_it_was_given(box: walls.Walls) -> None:
    said = box.run(["sh", "-c", "hostname; python -m word; echo $WORD; getent hosts postgres"], ENV).stdout
    assert said.split()[:6] == ["api", "from", "the", "image", "ours", "127.0.0.1"]
    (box.place / "app/word.py").write_text("open('/tmp/large', 'wb').write(bytes(2 * 2**20))")
    assert "No space left on device" in box.run(["python", "-m", "word"], ENV).stderr
    (box.place / "app/word.py").write_text("open('/app/new', 'wb')")
    assert "Read-only file system" in box.run(["python", "-m", "word"], ENV).stderr
    (box.place / "app/word.py").write_text("open('/data/kept', 'wb')")
    assert box.run(["python", "-m", "word"], ENV).returncode == 0
    assert (box.place / "volume/kept").exists()


def test_where_there_are_no_namespaces_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "No such file" in walls.missing()
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n")
    unshare.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert walls.missing() == "unshare: unshare failed: Operation not permitted"
    assert containers.main() == 0


def test_each_process_gets_what_its_image_and_the_file_say(tmp_path: Path) -> None:
    stages, known = images.read(), services()
    for name, said in known.items():
        if said["image"].removeprefix("packshot-") in stages:
            made = containers.enclose(name, said, stages, tmp_path, tmp_path)
            assert made.env["PATH"].startswith("/opt/packshot/bin:/usr/local/sbin:")
            assert made.env["PYTHONPATH"] == "/app"
            assert made.limit > 0
            assert made.walls.tmp.startswith("size=")
    assert containers.enclose("again", known["flower"], stages, tmp_path, tmp_path).stage.starting(["flower"]) == [
        "python", "-m", "embedded.cli", "flower",
    ]  # fmt: skip
    assert (tmp_path / "s3-volume").is_dir()
