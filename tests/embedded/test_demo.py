"""`packshot demo` as a stranger runs it: on a house that is up, with a job that fails, and stopped half-way."""

import io
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from safetensors.numpy import load_file

from embedded import contact_sheet, demo_photos, orphans
from tests.conftest import NO_SERVERS, Process, Processes, opened

TOOLS = ["train", "resolve_template", "generate", "mask", "inpaint", "video"]
SCENES = ["beach", "forest", "night"]
PATIENCE_S = 120

#: Sides of the pictures on a contact sheet, in pixels.
PHOTO, SCENE, LARGE = ((cell.width, cell.height) for cell in (
    contact_sheet.small_cells(0, 8)[0], contact_sheet.grid(0, 4, 4)[0], contact_sheet.large_cell(0)
))  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Give a folder that PostgreSQL can pass through to when we are root."""
    with opened() as made:
        yield made
        for data in ("data", "own"):
            orphans.end(made / data, patience_s=1)


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[Process]:
    """Run the whole house once."""
    starter = Processes(folder)
    up = starter.start("packshot", "up", env={**NO_SERVERS, "PACKSHOT_DATA_DIR": str(folder / "data")})
    up.wait_for(lambda: "Packshot is up." in up.said(), PATIENCE_S)
    yield up
    up.popen.send_signal(signal.SIGINT)
    up.popen.wait(60)
    up.kill()


def demo(processes: Processes, data: Path, out: Path, *options: str) -> Process:
    env = {**NO_SERVERS, "PACKSHOT_DATA_DIR": str(data)}
    return processes.start("packshot", "demo", "--small", "--out", str(out), *options, env=env)


def steps(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "report.json").read_text())["steps"]
    return found


def decode(file: Path) -> list[Any]:
    """Give all that a file shows, as arrays."""
    if file.suffix == ".safetensors":
        return [tensor for _, tensor in sorted(load_file(file).items())]
    if file.suffix == ".png":
        with Image.open(file) as image:
            return [np.asarray(image)]
    with av.open(str(file)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def ask(data: Path, path: str, body: bytes | None = None) -> Any:
    port = json.loads((data / "ports.json").read_text())["api"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def stands_on(sheet: Path, image: Image.Image, sides: tuple[int, int]) -> bool:
    """Look for a picture of this size on the whole sheet."""
    page = np.asarray(Image.open(sheet).convert("L"))
    wanted = np.asarray(ImageOps.fit(image.convert("L"), sides, Image.Resampling.LANCZOS))
    distance, *_ = cv2.minMaxLoc(cv2.matchTemplate(page, wanted, cv2.TM_SQDIFF))
    return distance / wanted.size < 4  # mean square difference of 255²


@pytest.mark.usefixtures("house")
def test_all_runs_do_all_six_tools_and_come_to_the_same(processes: Processes, folder: Path, tmp_path: Path) -> None:
    data = folder / "data"
    shown = demo(processes, data, tmp_path)
    assert shown.popen.wait(PATIENCE_S) == 0, shown.said()
    assert "runs already" in shown.said()
    assert "All 23 steps of all runs completed" in shown.said()
    assert ask(data, "/health") == {"status": "ok"}  # it was not ours to stop

    told = steps(tmp_path)
    names = [f"http.{tool}" for tool in TOOLS]
    names[3:3] = [f"http.generate.{scene}" for scene in SCENES]
    names += [f"{run}.{tool}" for run in ("celery", "flow") for tool in TOOLS]
    assert [step["step"] for step in told] == [*names, "flow.inpaint.again", "flow.video.again"]
    assert all(list(step) == ["step", "tool", "status", "seconds", "r2_path", "file"] for step in told)
    assert {step["status"] for step in told} == {"completed"}
    assert [step["tool"] for step in told if step["file"] is None or step["r2_path"] is None] == [
        "resolve_template"
    ] * 3
    by_name = {step["step"]: step for step in told}
    for tool in TOOLS:
        first = by_name[f"http.{tool}"]
        for second in (by_name[f"{run}.{tool}"] for run in ("celery", "flow") if first["file"]):
            assert first["r2_path"] != second["r2_path"]  # made anew, not served twice
            pair = zip(decode(Path(first["file"])), decode(Path(second["file"])), strict=True)
            assert all(np.array_equal(one, other) for one, other in pair), tool
    tries = (decode(Path(by_name[f"flow.inpaint{word}"]["file"]))[0] for word in ("", ".again"))
    assert not np.array_equal(*tries)
    assert len(decode(Path(by_name["http.video"]["file"]))) == 5

    says_the_warnings_of_its_jobs(shown, data, tmp_path)
    names_each_file_where_it_opens(shown, data)
    tells_the_story(tmp_path, fetch_cutouts(data))


def says_the_warnings_of_its_jobs(shown: Process, data: Path, out: Path) -> None:
    jobs = ask(data, "/api/jobs?limit=22")["data"]
    said = {(job["tool"], note["message"]) for job in jobs for note in job["warnings"]}
    assert said  # the preview engine has something to confess
    noted = json.loads((out / "report.json").read_text())["warnings"]
    assert {(note["tool"], note["message"]) for note in noted} == said
    words = " ".join(shown.said().split())
    assert all(words.count(f"{tool} {message}") == 1 for tool, message in said)


def names_each_file_where_it_opens(shown: Process, data: Path) -> None:
    jobs = [job for job in ask(data, "/api/jobs?limit=22")["data"] if job["tool"] not in {"train", "resolve_template"}]
    assert len(jobs) == 17
    port = json.loads((data / "ports.json").read_text())["api"]
    for job in jobs:
        url = f"http://127.0.0.1:{port}{job['result'].get('image_url') or job['result']['video_url']}"
        assert shown.said().count(url) == 2  # when it was done, and in the table
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers.get_content_type() in {"image/png", "video/mp4"}
    scenes = [job for job in jobs if job["tool"] == "generate"][2:]  # the newest are the flow's and the chain's
    assert len({job["params"]["prompt"] for job in scenes}) == len(scenes) == 4
    assert max(job["created_at"] for job in scenes) < min(job["ended_at"] for job in scenes)  # sent together


def fetch_cutouts(data: Path) -> Image.Image:
    """Fetch the cut-outs of the model that the HTTP run has trained."""
    port = json.loads((data / "ports.json").read_text())["api"]
    url = ask(data, "/api/models")[-1]["cutouts_url"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{url}", timeout=10) as answer:
        return Image.open(io.BytesIO(answer.read()))


def tells_the_story(out: Path, cutouts: Image.Image) -> None:
    sheet = out / "contact-sheet.png"
    for photo in demo_photos.shipped().photos:
        assert stands_on(sheet, Image.open(io.BytesIO(photo)), PHOTO)
    first = Image.new("RGBA", (320, 320), "white")
    first.alpha_composite(cutouts.crop((0, 0, 320, 320)))
    assert stands_on(sheet, first.convert("RGB"), PHOTO)
    for name in ("generate", *(f"generate-{scene}" for scene in SCENES), "mask"):
        assert stands_on(sheet, Image.open(out / "http" / f"{name}.png"), SCENE), name
    assert stands_on(sheet, Image.open(out / "http" / "inpaint.png"), LARGE)
    assert not stands_on(sheet, Image.open(out / "http" / "inpaint.png").rotate(180), LARGE)
    assert json.loads((out / "report.json").read_text())["contact_sheet"] == str(sheet)


@pytest.mark.usefixtures("house")
def test_the_same_with_photos_of_your_own(processes: Processes, folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "Rote Tasche"
    mine.mkdir()
    phone = Image.Exif()
    phone[ExifTags.Base.Orientation] = 6  # held upright
    photos = [Image.open(path).convert("RGB") for path in sorted(demo_photos.SHIPPED.glob("*.png"))[:4]]
    large = photos[0].resize((3024, 4032), Image.Resampling.BICUBIC)
    large.transpose(Image.Transpose.ROTATE_90).save(mine / "IMG_1.JPG", exif=phone, quality=90)
    photos[1].save(mine / "b.webp", quality=95)
    photos[2].save(mine / "c.Png")
    photos[3].save(mine / "d.jpeg")
    (mine / "IMG_5.HEIC").write_bytes(b"what a phone wrote")

    shown = demo(processes, folder / "data", tmp_path / "out", "--photos", str(mine))
    assert shown.popen.wait(PATIENCE_S) == 0, shown.said()
    assert shown.said().startswith("1 HEIC left out.")
    assert {step["status"] for step in steps(tmp_path / "out")} == {"completed"}
    model = ask(folder / "data", "/api/models")[0]
    assert (model["model_name"], model["trigger_word"]) == ("Rote Tasche", "TOK_ROTE_TASCHE")
    (train,) = ask(folder / "data", "/api/jobs?tool=train&limit=1")["data"]
    assert train["facts"]["photos"] == 4
    (mask,) = ask(folder / "data", "/api/jobs?tool=mask&limit=1")["data"]
    assert mask["params"]["object_name"] == "TOK_ROTE_TASCHE"
    assert stands_on(tmp_path / "out" / "contact-sheet.png", large, PHOTO)  # upright


@pytest.mark.usefixtures("house")
def test_a_step_that_fails_is_named_with_its_reason_and_the_logs(
    processes: Processes, folder: Path, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    data = folder / "data"
    before = {job["job_id"] for job in ask(data, "/api/jobs?tool=train")["data"]}
    shown = demo(processes, data, tmp_path)

    def begun() -> list[str]:
        return [job["job_id"] for job in ask(data, "/api/jobs?tool=train")["data"] if job["job_id"] not in before]

    wait_until(begun)
    ask(data, f"/api/jobs/{begun()[0]}/cancel", b"{}")
    assert shown.popen.wait(PATIENCE_S) == 1, shown.said()
    assert "http.train failed: The job was cancelled." in shown.said()
    assert f"Look into the logs in {data / 'log'}" in shown.said()
    assert [(step["step"], step["status"], step["file"]) for step in steps(tmp_path)] == [
        ("http.train", "failed", None)
    ]


def test_ctrl_c_while_a_house_of_its_own_comes_up_leaves_nobody_behind(
    processes: Processes, folder: Path, tmp_path: Path
) -> None:
    shown = demo(processes, folder / "own", tmp_path)
    shown.wait_for((folder / "own" / "log" / "migrate.log").exists, PATIENCE_S)
    assert list(orphans.find(folder / "own"))
    shown.popen.send_signal(signal.SIGINT)
    assert shown.popen.wait(PATIENCE_S) == 130, shown.said()
    assert "Stopped before the end, as you asked." in shown.said()
    assert "Traceback" not in shown.said()
    assert not list(orphans.find(folder / "own"))
