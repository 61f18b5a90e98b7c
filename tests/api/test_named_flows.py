"""The flows that ship: the whole way from photos to films, once more from inpaint, and where all came from."""

import io
import zipfile
from typing import Any

import pytest
import requests

from tests.api.asking import PATIENCE_S, PHOTOS, assert_problem, get, post
from tests.conftest import Processes
from tests.tasks.house import House

SMALL = {"width": 256, "height": 256, "video_width": 256, "video_height": 144, "length": 5}


@pytest.fixture(scope="module", autouse=True)
def house(starter: Processes, site: str) -> House:  # noqa: ARG001 - they start side by side
    return House(starter)


@pytest.fixture(scope="module")
def flow(site: str) -> dict[str, Any]:
    """Send photos through the whole way, as one flow."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for photo in PHOTOS:
            packed.write(photo, photo.name)
    upload = {"images": ("photos.zip", archive.getvalue())}
    form = {"model_name": "Handbag", "trigger_word": "TOK_HANDBAG"}
    trained = requests.post(f"{site}/api/train", data=form, files=upload, timeout=PATIENCE_S).json()
    job = get(f"{site}/api/jobs/{trained['job_id']}?wait=60").json()
    picture = requests.post(f"{site}/api/uploads", files={"image": PHOTOS[0].read_bytes()}, timeout=PATIENCE_S).json()
    new = {"name": "On marble", "prompt": "trigger_keyword on a marble table"}
    template = post(f"{site}/api/templates", new).json()
    inputs = {
        "images": job["params"]["images"], "model_name": "Again", "trigger_word": "TOK_AGAIN",
        "template_id": template["id"], "reference_url": picture["r2_path"], **SMALL,
    }  # fmt: skip
    body = {"name": "film-from-photos", "inputs": inputs}
    answer = post(f"{site}/api/flows", body, Prefer="wait=120")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def step(flow: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in flow["steps"] if one["id"] == name)


def test_the_whole_way_is_one_flow(flow: dict[str, Any]) -> None:
    assert flow["status"] == "completed", flow
    assert [one["id"] for one in flow["steps"]] == [
        "train", "resolve_template", "generate", "mask", "video_of_image", "inpaint", "video",
    ]  # fmt: skip
    assert step(flow, "generate")["result"]["prompt"] == "TOK_AGAIN on a marble table"
    assert step(flow, "video")["result"]["r2_path"].endswith(".mp4")


def test_a_changed_prompt_of_inpaint_runs_inpaint_and_its_film_and_nothing_else(
    site: str, flow: dict[str, Any]
) -> None:  # fmt: skip
    changes = {"overrides": {"inpaint": {"prompt": "a bag on sand"}}}
    again = post(f"{site}/api/flows/{flow['flow_id']}/retry", changes, Prefer="wait=120").json()
    assert again["status"] == "completed", again
    assert {one["id"] for one in again["steps"] if not one["kept"]} == {"inpaint", "video"}
    assert step(again, "mask")["result"] == step(flow, "mask")["result"]
    assert step(again, "inpaint")["result"]["inpainting_params"]["prompt"] == "a bag on sand"


def test_lineage_leads_from_a_film_back_to_the_photos_and_on_from_there(site: str, flow: dict[str, Any]) -> None:
    film, training = (step(flow, name)["jobs"][0]["job_id"] for name in ("video", "train"))
    told = get(f"{site}/api/jobs/{film}/lineage").json()
    assert told["backward"][0]["tool"] == "inpaint"
    back = {job["tool"]: job for job in told["backward"]}
    assert set(back) == {"inpaint", "mask", "generate", "resolve_template", "train"}
    assert back["train"]["params"]["images"].startswith("r2://packshot/datasets/")
    assert told["forward"] == []
    assert film in {job["job_id"] for job in get(f"{site}/api/jobs/{training}/lineage").json()["forward"]}
    assert_problem(get(f"{site}/api/jobs/{flow['flow_id']}/lineage"), 404, "job_not_found")


def test_lineage_knows_files_and_models_that_a_caller_named(site: str, flow: dict[str, Any]) -> None:
    picture = step(flow, "generate")["result"]
    named = {"image_url": picture["r2_path"], "width": 256, "height": 144, "length": 5}
    film = post(f"{site}/api/video", named).headers["X-Job-Id"]
    back = [job["tool"] for job in get(f"{site}/api/jobs/{film}/lineage").json()["backward"]]
    assert back[0] == "generate"
    assert "train" in back


def test_a_completed_job_says_what_can_come_next(site: str, flow: dict[str, Any]) -> None:
    made = step(flow, "generate")
    job = get(f"{site}/api/jobs/{made['jobs'][0]['job_id']}").json()
    r2_path = made["result"]["r2_path"]
    assert job["next"] == [
        {"tool": "mask", "body": {"image_url": r2_path}, "missing": ["object_name"]},
        {"tool": "video", "body": {"image_url": r2_path}, "missing": []},
        *[one for one in job["next"] if one["tool"] == "nap"],
    ]
    trained = get(f"{site}/api/jobs/{step(flow, 'train')['jobs'][0]['job_id']}").json()
    bodies = {one["tool"]: one["body"] for one in trained["next"]}
    assert bodies["generate"] == {"model_id": trained["result"]["model_id"]}
    assert bodies["resolve_template"] == {"trigger_word": "TOK_AGAIN"}


def test_inputs_that_are_missing_or_misspelt_are_told(site: str) -> None:
    missing = post(f"{site}/api/flows", {"name": "film-from-model", "inputs": {"model_id": 1}})
    assert "film-from-model needs it" in assert_problem(missing, 422, "missing_input")["detail"]
    misspelt = post(f"{site}/api/flows", {"name": "film-from-model", "inputs": {"model": 1}})
    assert "Did you mean model_id" in assert_problem(misspelt, 422, "unknown_field")["detail"]
    unknown = post(f"{site}/api/flows", {"name": "film-from-modle"})
    assert "Did you mean film-from-model" in assert_problem(unknown, 422, "invalid_input")["detail"]
    listed = get(f"{site}/api/flows/named").json()["flows"]
    assert {one["name"] for one in listed} == {"film-from-model", "film-from-photos"}


def test_several_pictures_come_of_one_job_the_first_in_the_usual_keys(site: str, flow: dict[str, Any]) -> None:
    model_id = step(flow, "train")["result"]["model_id"]
    asked = {"model_id": model_id, "prompt": "TOK_AGAIN on sand", "width": 256, "height": 256, "seed": 5, "count": 3}
    made = post(f"{site}/api/generate", asked).json()
    assert [*made][-1] == "images"
    assert [one["seed"] for one in made["images"]] == [5, 6, 7]
    assert made["images"][0] == {"image_url": made["image_url"], "r2_path": made["r2_path"], "seed": 5}
    assert len({get(site + one["image_url"]).content for one in made["images"]}) == 3
    assert "images" not in post(f"{site}/api/generate", {**asked, "count": 1}).json()
    assert_problem(get(f"{site}{made['image_url'].replace('.png', '.image_4.png')}"), 404, "file_not_found")
    films = {
        "foreach": "${gen.images}",
        "with": {"image_url": "${each.r2_path}", "width": 256, "height": 144, "length": 5},
    }
    steps = [{"id": "gen", "tool": "generate", "with": asked}, {"id": "film", "tool": "video", **films}]
    spread = post(f"{site}/api/flows", {"steps": steps}, Prefer="wait=120").json()
    assert (spread["status"], len(step(spread, "film")["result"])) == ("completed", 3)
