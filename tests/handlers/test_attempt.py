"""An attempt, from JSON to a stored file, on a real bucket."""

import io
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_handlers import mask, video
from gpu_handlers.attempt import run_attempt
from settings import settings
from storage.bucket import Bucket, bucket
from tests.handlers.workbench import PHOTOS, Bench, draw_balls
from tools.contract import LARGEST_SEED
from tools.outcome import Outcome

TABLE = "uploads/handlers/table.png"


@pytest.fixture(name="store")
def fill_bucket(s3: Mapping[str, str]) -> Iterator[Bucket]:
    """Give a real bucket that holds a scene."""
    assert s3["S3_ENDPOINT_URL"]
    bucket.cache_clear()
    scene = io.BytesIO()
    Image.fromarray(draw_balls()).save(scene, "PNG")
    bucket().put(TABLE, scene.getvalue(), content_type="image/png")
    yield bucket()
    bucket.cache_clear()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Watch that no attempt leaves a file behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    yield tmp_path
    assert list((tmp_path / "temporary").iterdir()) == []


def attempt(
    tool: str, found: Mapping[str, Any] | None = None, name: str = "", *, kept: bool = True, **params: Any
) -> Outcome:
    task = {
        "job_id": "j1",
        "attempt_id": f"handlers-{name or tool}",
        "tool": tool,
        "params": params,
        "found": found or {},
    }
    return run_attempt(task, report=lambda _fraction, _stage: None, stop=threading.Event(), keep=lambda _outcome: kept)


def r2(key: str) -> str:
    return f"r2://{settings().s3_bucket}/{key}"


def test_an_attempt_stores_what_it_made(store: Bucket) -> None:
    outcome = attempt("mask", image_url=r2(TABLE), object_name="red ball", mask_dilation=4)
    assert outcome.error is None
    assert outcome.file is not None
    assert outcome.file.r2_path == r2("masks/handlers-mask.png")
    head = store.head("masks/handlers-mask.png")
    assert head is not None
    assert (head.size, head.sha256, head.content_type) == (outcome.file.size, outcome.file.sha256, "image/png")
    assert (outcome.engine, outcome.params["mask_dilation"]) == ("preview", 4)
    assert outcome.params["seed"] is not None, "what was left to chance is told"
    assert outcome.facts["scene_r2_path"] == r2(TABLE)
    assert [note.pointer for note in outcome.warnings] == ["/object_name", "/seed"]
    assert outcome.seconds > 0


def test_an_attempt_stores_what_is_kept_beside_its_file(store: Bucket, folder: Path) -> None:
    photos = Bench(folder)
    photos.zip("photos.zip", *PHOTOS[:2])
    store.put("datasets/handlers/two.zip", folder / "photos.zip", content_type="application/zip")
    outcome = attempt("train", images=r2("datasets/handlers/two.zip"), model_name="Bag", trigger_word="TOK_BAG")
    assert outcome.extras["cutouts"].r2_path == r2("models/handlers-train.cutouts.png")
    sheet = store.download("models/handlers-train.cutouts.png", folder / "sheet.png")
    with Image.open(sheet) as image:
        assert (image.mode, image.size) == ("RGBA", (1280, 320))


def test_the_whole_chain_hands_on_its_files(store: Bucket, folder: Path) -> None:
    photos = Bench(folder)
    photos.zip("photos.zip", *PHOTOS[:2])
    store.put("datasets/handlers.zip", folder / "photos.zip", content_type="application/zip")
    store.put("uploads/handlers/bag.png", PHOTOS[0], content_type="image/png")
    model = attempt("train", images=r2("datasets/handlers.zip"), model_name="Bag", trigger_word="TOK_BAG")
    assert model.file is not None, model.error
    found = {"model_id": {"model_string": model.file.r2_path, "trigger_word": "TOK_BAG", "name": "Bag"}}
    picture = attempt("generate", found, model_id=7, prompt="TOK_BAG on a beach", width=256, height=256, seed=1)
    assert picture.file is not None, picture.error
    mask = attempt("mask", image_url=picture.file.r2_path, object_name="handbag", mask_dilation=8)
    assert mask.file is not None, mask.error
    bag = r2("uploads/handlers/bag.png")
    inpainted = attempt("inpaint", scene_url=mask.file.r2_path, reference_url=bag, seed=1)
    assert inpainted.file is not None, inpainted.error
    film = attempt("video", image_url=inpainted.file.r2_path, width=256, height=256, length=9, seed=1)
    assert film.file is not None, film.error
    assert film.file.r2_path == r2("generated/handlers-video.mp4")


def test_a_refusal_is_an_outcome(store: Bucket) -> None:
    plain = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 180, np.uint8)).save(plain, "PNG")
    store.put("uploads/handlers/plain.png", plain.getvalue(), content_type="image/png")
    outcome = attempt("mask", image_url=r2("uploads/handlers/plain.png"), object_name="shoe")
    assert outcome.file is None
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["retryable"]) == ("object_not_found", False)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("tool", "params", "code"),
    [
        ("mask", {"image_url": "r2://packshot/uploads/none.png", "object_name": "shoe"}, "file_not_found"),
        ("mask", {"image_url": "r2://packshot/uploads/none.png"}, "missing_input"),
        ("sing", {}, "invalid_input"),
    ],
)
def test_bad_input_is_an_outcome(tool: str, params: dict[str, Any], code: str) -> None:
    outcome = attempt(tool, **params)
    assert outcome.error is not None
    assert outcome.error["code"] == code


@pytest.mark.usefixtures("store")
def test_a_handler_that_fails_by_itself_says_so_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    outcome = attempt("generate", {}, model_id=1, prompt="TOK_BAG")  # a task that lacks what its id stands for
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["exception"]) == ("handler_failed", "KeyError")
    assert "Traceback" not in str(outcome.error)
    assert "handler failed" in caplog.text
    assert "Traceback" in caplog.text


def test_a_stopped_attempt_is_cancelled() -> None:
    stop = threading.Event()
    stop.set()
    task = {
        "job_id": "j1",
        "attempt_id": "a1",
        "tool": "mask",
        "params": {"image_url": "r2://b/uploads/x", "object_name": "x"},
    }
    outcome = run_attempt(task, report=lambda _fraction, _stage: None, stop=stop, keep=lambda _outcome: True)
    assert outcome.error is not None
    assert outcome.error["code"] == "cancelled"


def test_an_engine_whose_packages_are_not_here_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "gpu")
    settings.cache_clear()
    try:
        outcome = attempt("train", images="r2://b/uploads/x.zip", model_name="Shoe", trigger_word="TOK_SHOE")
    finally:
        settings.cache_clear()
    assert outcome.engine == "gpu"
    assert outcome.error is not None
    assert outcome.error["detail"].startswith("The gpu engine of train needs the package")
    assert "pip install 'packshot[train]'" in outcome.error["detail"]


def test_what_is_spent_goes_when_the_outcome_is_kept(
    store: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gpu.py").write_text(
        "import shutil\n"
        "def run(params, work):\n"
        "    work.spent += ['', 'checkpoints/handlers-spent']\n"  # no bucket takes the first
        "    return shutil.copy(work.fetch(params.image_url), work.folder / ('made' + params.object_name))\n"
    )
    monkeypatch.setattr(mask, "__path__", [str(folder)])  # an engine that takes the place of ours
    monkeypatch.delitem(sys.modules, "gpu_handlers.mask.gpu", raising=False)
    monkeypatch.setenv("ENGINE", "gpu")
    settings.cache_clear()
    try:
        for made, kept, left in ((".png", True, False), (".png", False, True), (".torn", True, True)):
            torn = made == ".torn"
            store.put("checkpoints/handlers-spent", b"what was learnt")
            store.put(TABLE, store.read(TABLE, 2**24)[: -40 if torn else None])
            outcome = attempt("mask", name="spent", kept=kept, image_url=r2(TABLE), object_name=made)
            assert (outcome.file is None) is torn, outcome
            assert (store.head("checkpoints/handlers-spent") is not None) is left
    finally:
        sys.modules.pop("gpu_handlers.mask.gpu")
        settings.cache_clear()


def test_a_file_that_does_not_hold_is_never_stored(
    store: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gpu.py").write_text(
        "def run(params, work):\n"
        "    path = work.folder / 'torn.png'\n"
        "    path.write_bytes(b'\\x89PNG\\r\\n\\x1a\\n')\n"
        "    return path\n"
    )
    monkeypatch.setattr(video, "__path__", [str(folder)])  # an engine that takes the place of ours
    monkeypatch.delitem(sys.modules, "gpu_handlers.video.gpu", raising=False)
    monkeypatch.setenv("ENGINE", "gpu")
    settings.cache_clear()
    try:
        outcome = attempt("video", name="torn", image_url=r2(TABLE))
    finally:
        sys.modules.pop("gpu_handlers.video.gpu")
        settings.cache_clear()
    assert outcome.error is not None
    assert outcome.error["code"] == "no_output"
    assert store.head("generated/handlers-torn.mp4") is None


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("gpu_handlers.attempt", "flask celery sqlalchemy cv2 numpy av safetensors db tasks api"),
        ("gpu_handlers.mask.preview", "flask celery sqlalchemy av torch"),
    ],
)
def test_a_worker_pays_only_for_what_it_does(module: str, absent: str) -> None:
    code = f"import sys, {module}; print(sorted(set({absent.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_several_pictures_of_one_job_are_each_what_one_with_its_seed_is(store: Bucket, folder: Path) -> None:
    photos = Bench(folder)
    photos.zip("photos.zip", *PHOTOS[:2])
    store.put("datasets/handlers.zip", folder / "photos.zip", content_type="application/zip")
    model = attempt("train", images=r2("datasets/handlers.zip"), model_name="Bag", trigger_word="TOK_BAG")
    assert model.file is not None, model.error
    found = {"model_id": {"model_string": model.file.r2_path, "trigger_word": "TOK_BAG", "name": "Bag"}}

    def generate(name: str, **more: Any) -> Outcome:
        return attempt("generate", found, name, model_id=7, prompt="TOK_BAG", width=256, height=256, **more)

    def pixels(r2_path: str) -> Any:
        with Image.open(store.download(r2_path.split("/", 3)[3], folder / "seen.png")) as image:
            return np.asarray(image)

    several = generate("several", seed=LARGEST_SEED, count=3)
    assert several.file is not None, several.error
    made = [several.file.r2_path, *(several.extras[f"image_{n}"].r2_path for n in (2, 3))]
    assert made[1] == r2("generated/handlers-several.image_2.png")
    for path, seed in zip(made, (LARGEST_SEED, 0, 1), strict=True):
        alone = generate(f"alone-{seed}", seed=seed)
        assert alone.file is not None, alone.error
        assert np.array_equal(pixels(path), pixels(alone.file.r2_path))
    assert several.warnings == alone.warnings, "what is said of all is said once"
