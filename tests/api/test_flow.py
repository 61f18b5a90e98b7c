"""The whole house over HTTP: photos go through every tool, and each answer is the promised one, to the letter."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from tests.api import seed
from tests.api.asking import PATIENCE_S, PHOTOS, assert_problem, get, post
from tests.api.seed import promised, shape
from tests.conftest import Processes
from tests.tasks.house import House


@pytest.fixture(scope="module", autouse=True)
def house(starter: Processes, site: str) -> House:  # noqa: ARG001 - they start side by side
    """Run a main worker, a gpu worker and a watcher."""
    return House(starter)


@dataclass
class Flow:
    """What each step answered."""

    training: dict[str, Any]
    trained: dict[str, Any]
    resolved: dict[str, Any]
    answers: dict[str, requests.Response]


@pytest.fixture(scope="module")
def flow(site: str, house: House) -> Flow:  # noqa: ARG001 - it does the work
    """Send photos through train, resolve, generate, mask, inpaint and video."""
    training = train(site)
    trained = get(f"{site}/api/jobs/{training['job_id']}?wait=60").json()["result"]
    picture = requests.post(f"{site}/api/uploads", files={"image": PHOTOS[0].read_bytes()}, timeout=PATIENCE_S).json()
    new = {"name": "On marble", "prompt": "trigger_keyword on a marble table"}
    template = post(f"{site}/api/templates", new).json()
    resolved = post(f"{site}/api/templates/{template['id']}/resolve", {"trigger_word": trained["trigger_word"]}).json()
    answers: dict[str, requests.Response] = {}

    def ask(tool: str, **given: Any) -> dict[str, Any]:
        answers[tool] = post(f"{site}/api/{tool}", given)
        assert answers[tool].status_code == 200, answers[tool].text
        return dict(answers[tool].json())

    size = {"width": 256, "height": 256}
    made = ask("generate", model_id=trained["model_id"], prompt=resolved["resolved_prompt"], seed=7, **size)
    mask = ask("mask", image_url=made["r2_path"], object_name="handbag", mask_dilation=4, mask_blur=4)
    placed = ask("inpaint", scene_url=mask["r2_path"], reference_url=picture["r2_path"])
    ask("video", image_url=placed["r2_path"], width=256, height=256, length=5)
    return Flow(training, trained, resolved, answers)


COPY = "It shows the same as '01.png', which is as large or larger: one is enough."


def train(site: str) -> dict[str, Any]:
    """Send the photos as a form, as a browser would."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for photo in PHOTOS[:4]:
            archive.write(photo, photo.name)
        archive.writestr("01.txt", "a bag from its left side")
        archive.write(PHOTOS[0], "copy of 01.png")
    form = {"model_name": "Bag", "trigger_word": "TOK_BAG", "steps": "5", "resolution": "256"}
    files = {"images": ("photos.zip", packed.getvalue())}
    answer = requests.post(f"{site}/api/train", data=form, files=files, timeout=PATIENCE_S)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


@pytest.fixture(params=["generate", "mask", "inpaint", "video"])
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_sync_answer_is_the_promised_one(flow: Flow, tool: str) -> None:
    answer = flow.answers[tool]
    assert shape(answer.json()) == promised(seed.BODIES[tool])
    assert answer.json()["success"] is True
    assert answer.headers["X-Engine"] == "preview"
    assert answer.headers["X-GPU-Seconds"] == "0"
    assert answer.headers["Location"] == f"/api/jobs/{answer.headers['X-Job-Id']}"


def test_a_poll_gives_the_same_result(site: str, flow: Flow, tool: str) -> None:
    answer = flow.answers[tool]
    polled = get(f"{site}/api/{tool}/{answer.headers['X-Job-Id']}").json()
    assert list(polled)[:3] == ["job_id", "status", "result"]
    assert polled["status"] == "completed"
    assert shape(polled["result"]) == shape(answer.json())
    assert polled["result"] == answer.json()
    assert (polled["progress"], polled["error"], polled["engine"]) == (1.0, None, "preview")


def test_the_job_of_one_tool_is_none_of_another(site: str, flow: Flow, tool: str) -> None:
    job_id = flow.answers[tool].headers["X-Job-Id"]
    for other in {"generate", "mask", "inpaint", "video"} - {tool}:
        assert_problem(get(f"{site}/api/{other}/{job_id}"), 404, "job_not_found")
    assert_problem(get(f"{site}/api/training-status/{job_id}"), 404, "job_not_found")


def test_the_training_tells_the_promised_six(site: str, flow: Flow) -> None:
    assert shape(flow.training)[:6] == promised(seed.TRAINING_STATUS)
    done = get(f"{site}/api/training-status/{flow.training['job_id']}").json()
    assert shape(done)[:6] == promised(seed.TRAINING_DONE)
    assert list(done)[6:] == list(flow.training)[6:] == ["dataset", "parameters", "because", "reasons"]
    assert done["status"] == "completed"
    assert list(done.items())[:6] == list(flow.trained.items())
    model = get(f"{site}/api/models/{done['model_id']}").json()
    assert {key: model[key] for key in done} == done
    assert any(listed.items() <= model.items() for listed in get(f"{site}/api/models").json())
    sheet = get(site + model["cutouts_url"])
    assert (sheet.status_code, sheet.headers["Content-Type"]) == (200, "image/png")
    with Image.open(io.BytesIO(sheet.content)) as image:
        assert (image.mode, image.size) == ("RGBA", (1280, 320))
    assert_problem(get(f"{site}/api/models/999999/cutouts"), 404, "model_not_found")


def test_a_model_tells_what_it_was_made_of_and_how(site: str, flow: Flow) -> None:
    told, left_out = flow.training, {"source": "copy of 01.png", "reason": COPY}
    assert told["dataset"] == {"images": 4, "left_out": [left_out]}
    assert told["parameters"] == {"steps": 5, "lr": 5e-5, "lora_rank": 16, "batch_size": 1, "resolution": 256}
    assert told["because"].startswith("4 images → 500 steps, rank 16, learning rate 5e-05, 512 pixels, because ")
    assert told["because"].endswith("Given otherwise: steps, resolution.")
    assert told["reasons"]["steps"] == "you gave it; for these images it would be 500"
    card = get(f"{site}/api/models/{told['model_id']}").json()["card"]
    assert [(one["source"], one["caption"], one["width"]) for one in card["images"]] == [
        ("01.png", "TOK_BAG, a bag from its left side", 512),
        *((f"0{n}.png", "TOK_BAG", 512) for n in (2, 3, 4)),
    ]
    assert (card["engine"], card["base"], card["loss"], card["samples_url"]) == ("preview", None, [], None)
    assert (card["parameters"], card["gpu_seconds"]) == (told["parameters"], 0)
    assert_problem(get(f"{site}/api/models/{told['model_id']}/samples"), 404, "file_not_found")
    job = get(f"{site}/api/jobs/{told['job_id']}").json()
    assert job["params"]["images"].startswith("r2://packshot/datasets/")


def test_a_template_is_resolved_as_promised(flow: Flow) -> None:
    assert shape(flow.resolved) == promised(seed.RESOLVED)
    assert flow.resolved["resolved_prompt"] == "TOK_BAG on a marble table"
    assert flow.answers["generate"].json()["prompt"] == "TOK_BAG on a marble table"


def test_the_params_answered_are_those_given(flow: Flow) -> None:
    params = flow.answers["generate"].json()["generation_params"]
    assert (params["seed"], params["width"], params["height"], params["steps"]) == (7, 256, 256, 25)
    assert flow.answers["video"].json()["video_params"]["length"] == 5


def test_the_files_are_what_they_are_called(site: str, flow: Flow, tool: str) -> None:
    body = flow.answers[tool].json()
    file = get(site + body["video_url" if tool == "video" else "image_url"])
    assert file.status_code == 200
    if tool == "video":
        assert (file.headers["Content-Type"], file.content[4:8]) == ("video/mp4", b"ftyp")
        return
    assert file.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(file.content)) as image:
        assert image.size == (256, 256)
        assert np.asarray(image.convert("RGB")).std() > 1


def test_a_file_can_be_sought_in(site: str, flow: Flow) -> None:
    url = site + flow.answers["video"].json()["video_url"]
    whole = get(url).content
    part = get(url, Range="bytes=10-29")
    assert (part.status_code, part.content) == (206, whole[10:30])
    assert part.headers["Content-Range"] == f"bytes 10-29/{len(whole)}"
    assert get(url, Range="bytes=-5").content == whole[-5:]
    assert get(url, Range="bytes=5-").content == whole[5:]
    for beyond in (f"bytes={len(whole)}-", "bytes=0-1,3-4"):
        assert get(url, Range=beyond).status_code == 416
    assert get(url, Range="lines=1-2").content == whole


def test_a_file_is_kept_by_browsers_and_never_run(site: str, flow: Flow, tool: str) -> None:
    body = flow.answers[tool].json()
    url = site + body["video_url" if tool == "video" else "image_url"]
    for answer in (get(url), get(url, Range="bytes=0-1"), requests.head(url, timeout=PATIENCE_S)):
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert {"default-src 'none'", "sandbox allow-same-origin"} <= set(policy.split("; "))
        assert "script" not in policy
        assert answer.headers["Accept-Ranges"] == "bytes"
    head = requests.head(url, timeout=PATIENCE_S)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(get(url).content)


def test_another_name_is_no_file(site: str, flow: Flow) -> None:
    name = flow.answers["mask"].json()["image_url"].rsplit("/", 1)[-1]
    for wrong in (f"masks/{name[:-4]}.svg", f"masks/{name[:-4]}", f"images/{name}", f"inpainted/{name}",
                  f"videos/{name}", f"masks/{name}%00.png", f"masks/{name.upper()}", "masks/" + "x" * 4000,
                  "masks/00000000-0000-4000-8000-000000000000.png", "masks/..%5c..%5csettings.py"):  # fmt: skip
        assert_problem(get(f"{site}/api/{wrong}"), 404, "file_not_found")
    for slash in (f"masks/..%2f{name}", f"masks/%2e%2e/{name}"):
        assert_problem(get(f"{site}/api/{slash}"), 404, "not_found")
    job_id = flow.answers["mask"].headers["X-Job-Id"]
    assert_problem(get(f"{site}/api/masks/{job_id}.png"), 404, "file_not_found")


def test_a_template_may_have_a_picture(site: str) -> None:
    form = {"name": "With a picture", "prompt": "trigger_keyword"}
    files = {"image": ("a.png", PHOTOS[1].read_bytes())}
    made = requests.post(f"{site}/api/templates", data=form, files=files, timeout=PATIENCE_S)
    assert made.status_code == 201
    one = f"{site}/api/templates/{made.json()['id']}"
    assert get(one).json() == made.json()
    assert made.json() in get(f"{site}/api/templates").json()
    assert get(site + made.json()["image_url"]).headers["Content-Type"] == "image/png"
    assert requests.delete(one, timeout=PATIENCE_S).status_code == 204
    assert_problem(get(one), 404, "template_not_found")


@pytest.fixture(scope="module")
def failed(site: str) -> requests.Response:
    """Wait for a job that fails."""
    return post(f"{site}/api/nap", {"fate": "fail"})


def test_a_failed_job_answers_with_its_problem(site: str, failed: requests.Response) -> None:
    problem = assert_problem(failed, 502, "handler_failed")
    polled = get(f"{site}/api/nap/{problem['job_id']}").json()
    assert (polled["status"], polled["result"]) == ("failed", None)
    assert polled["error"]["detail"] == problem["detail"]


def test_a_job_shows_its_progress(site: str, wait_until: Any) -> None:
    job_id = post(f"{site}/api/nap/async", {"seconds": 30}).json()["job_id"]
    wait_until(lambda: get(f"{site}/api/nap/{job_id}").json()["stage"] == "napping")
    polled = get(f"{site}/api/nap/{job_id}").json()
    assert (polled["status"], polled["progress"]) == ("processing", 0.1)
    assert requests.post(f"{site}/api/jobs/{job_id}/cancel", timeout=PATIENCE_S).json()["status"] == "cancelled"


def test_a_repeated_call_joins_the_first_one_and_waits(site: str) -> None:
    first = post(f"{site}/api/nap/async", {"seconds": 0.5}, Idempotency_Key="join")
    joined = post(f"{site}/api/nap", {"seconds": 0.5}, Idempotency_Key="join")
    assert first.status_code == 202
    assert (joined.status_code, joined.json()["success"]) == (200, True)
    assert joined.headers["X-Job-Id"] == first.json()["job_id"]
    assert joined.headers["Idempotent-Replayed"] == "true"
