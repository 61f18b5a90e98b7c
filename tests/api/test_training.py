"""Training, as it is asked for: its photos, its params, and what is told of both."""

import io
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from db.base import transaction
from db.jobs import Job
from db.models import Model
from db.traces import Attempt
from storage.bucket import Bucket, bucket
from storage.door import take_picture
from tests import photos
from tests.api.asking import assert_problem, count_jobs, counted
from tools.card import Base, Card, Grid, Parameters, Point
from tools.card import Photo as PhotoCard

FIELDS = {"model_name": "Bag", "trigger_word": "TOK_BAG"}


CARD = Card(
    model_name="Bag", trigger_word="TOK_BAG", seed=1, resumed_from=0, loss=(Point(step=1, loss=0.5),), loss_before=1.0,
    loss_after=0.5, modules=1, trained_numbers=1, device="cuda", precision="bf16", gpu_seconds=60.0, versions={},
    base=Base(name="b", source="s", licence="Apache-2.0", commercial=True, generates_with="b"),
    images=(PhotoCard(name="a", caption="TOK_BAG", width=320, height=272, trained_width=256, trained_height=224,
                      sha256="0"),),
    parameters=Parameters(steps=1, lr=1e-4, lora_rank=1, batch_size=1, resolution=256),
    samples=Grid(side=256, rows=()),
)  # fmt: skip


@pytest.fixture(name="zipped", scope="module")
def put_zip(picture: str) -> str:
    """Give the address of a zip of four photos, the last with a caption, and of one that is none."""
    files = {f"{n}.png": photos.encode(photos.take(n)) for n in range(4)}
    packed = photos.pack({**files, "3.txt": b"on white", "page.png": b"<html>"})
    bucket().put("uploads/training.zip", packed)
    return picture.rsplit("/", 2)[0] + "/uploads/training.zip"


def count_attempts() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Attempt)) or 0


def count_models() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Model)) or 0


def train(client: FlaskClient, **given: Any) -> dict[str, Any]:
    answer = client.post("/api/train", json={**FIELDS, **given})
    assert answer.status_code == 202, answer.get_json()
    return dict(answer.get_json())


def test_three_photos_that_can_be_used_are_too_few_and_nobody_is_asked_for_a_gpu(client: FlaskClient) -> None:
    blank = photos.encode(photos.take(0).resize((300, 300)).point(lambda _: 200))
    files = {f"{n}.png": photos.encode(photos.take(n)) for n in range(3)}
    packed = photos.pack({**files, "blank.png": blank, "page.png": b"<html>"})
    bucket().put("uploads/three.zip", packed)
    before = count_jobs(), count_models(), count_attempts()
    form = client.post("/api/train", data={**FIELDS, "images": (io.BytesIO(packed), "photos.zip")})
    address = f"r2://{bucket().name}/uploads/three.zip"
    flow = {"steps": [{"id": "train", "tool": "train", "with": {**FIELDS, "images": address}}]}
    batch = {"tool": "train", "base": FIELDS, "items": [{"images": address}]}
    for answer, pointer in (
        (form, "/images"),
        (client.post("/api/train", json={**FIELDS, "images": address}), "/images"),
        (client.post("/api/flows", json=flow), "/steps/0/with/images"),
        (client.post("/api/batches", json=batch), "/items/0/images"),
    ):
        problem = assert_problem(answer, 422, "too_few_photos")
        assert "3 of 5 photos can be used, and at least 4 are needed. 'blank.png': It is blurred" in problem["detail"]
        assert [one["source"] for one in problem["left_out"]] == ["blank.png", "page.png"]
        assert problem["errors"][0]["pointer"] == pointer
    assert (count_jobs(), count_models(), count_attempts()) == before


def test_what_is_not_given_is_chosen_by_the_photos_and_what_is_given_stays(client: FlaskClient, zipped: str) -> None:
    told = train(client, images=zipped)
    assert told["parameters"] == {"steps": 500, "lr": 5e-5, "lora_rank": 16, "batch_size": 1, "resolution": 320}
    assert told["dataset"]["left_out"] == [
        {"source": "page.png", "reason": "The file is not a picture that we can read: send a whole PNG, JPEG or WebP."}
    ]
    job = client.get(f"/api/jobs/{told['job_id']}").get_json()
    assert {name: job["params"][name] for name in told["parameters"]} == told["parameters"]
    given = {"steps": 1000, "lr": 1e-4, "lora_rank": 16, "batch_size": 1, "resolution": 1024}
    assert train(client, images=zipped, **given)["parameters"] == given
    again = client.post(f"/api/jobs/{told['job_id']}/retry", json={"overrides": {"steps": 7}}).get_json()
    params = client.get(f"/api/jobs/{again['job_id']}").get_json()["params"]
    assert (params["steps"], params["lr"], params["images"]) == (7, 5e-5, job["params"]["images"])


def test_a_list_of_pictures_is_a_dataset_too(client: FlaskClient) -> None:
    listed = [take_picture(photos.encode(photos.take(n))) for n in range(30, 35)]
    told = train(client, images=listed)
    model = client.get(f"/api/models/{told['model_id']}").get_json()
    assert [one["source"] for one in model["card"]["images"]] == listed
    assert {one["caption"] for one in model["card"]["images"]} == {"TOK_BAG"}
    short = client.post("/api/train", json={**FIELDS, "images": listed[:3]})
    assert "at least 4 items" in assert_problem(short, 422, "invalid_input")["detail"]
    stray = client.post("/api/train", json={**FIELDS, "images": [*listed, "https://127.0.0.1/a.png"]})
    assert assert_problem(stray, 422, "url_blocked")["errors"][0]["pointer"] == "/images/5"


def test_the_config_for_so_many_photos_says_why(client: FlaskClient) -> None:
    config = client.get("/api/training-config?images=18").get_json()
    assert (config["steps"], config["lora_rank"], config["resolution"]) == (1800, 32, 1024)
    assert config["because"].startswith("18 images → 1,800 steps, rank 32, ")
    assert set(config["reasons"]) == {"steps", "lr", "lora_rank", "batch_size", "resolution"}
    usual = client.get("/api/training-config").get_json()
    assert usual.items() <= client.get("/api/training-config?images=10").get_json().items()
    for wrong in ("3", "201", "many", ""):
        assert_problem(client.get(f"/api/training-config?images={wrong}"), 422, "invalid_input")


def test_a_flow_trains_on_a_list_and_its_word_may_come_from_the_step_before(client: FlaskClient, zipped: str) -> None:
    listed = [take_picture(photos.encode(photos.take(n))) for n in range(40, 44)]
    steps = [
        {"id": "first", "tool": "train", "with": {**FIELDS, "images": listed, "steps": 3}},
        {"id": "more", "tool": "train", "with": {**FIELDS, "images": zipped, "trigger_word": "${first.trigger_word}"}},
    ]
    flow_id = client.post("/api/flows", json={"steps": steps}).get_json()["flow_id"]
    first, more = client.get(f"/api/flows/{flow_id}").get_json()["steps"]
    params = first["jobs"][0]["params"]
    assert (params["steps"], params["lr"], params["resolution"]) == (3, 5e-5, 320)
    assert params["images"].startswith("r2://")
    assert more["status"] == "pending"
    stray = [*steps, {"id": "own", "tool": "generate", "with": {"model_id": "${first.model_id}", "prompt": "x"}}]
    for images in (["${own.r2_path}"] * 4, "${own.r2_path}"):
        step = {"id": "last", "tool": "train", "with": {**FIELDS, "images": images}}
        answer = client.post("/api/flows", json={"steps": [*stray, step]})
        assert "train.images wants" in assert_problem(answer, 422, "invalid_input")["detail"].replace("last", "train")


@pytest.fixture(name="told")
def train_once(client: FlaskClient, zipped: str) -> dict[str, Any]:
    return train(client, images=zipped)


@pytest.fixture(name="reads")
def count_reads() -> Iterator[list[str]]:
    """Collect what is read from the bucket."""
    seen: list[str] = []
    real = Bucket.read

    def read(self: Bucket, key: str, max_bytes: int) -> bytes:
        seen.append(key)
        return real(self, key, max_bytes)

    with patch.object(Bucket, "read", read):
        yield seen


def test_what_the_bucket_knows_is_read_once_and_then_stands_in_the_row(
    client: FlaskClient, told: dict[str, Any], reads: list[str]
) -> None:
    job_id = UUID(told["job_id"])
    with transaction() as session:
        session.query(Model).where(Model.job_id == job_id).update({"dataset": None})
    assert client.get(f"/api/training-status/{job_id}").get_json()["dataset"] is None
    assert reads == []
    for _ in range(2):
        with counted() as said:
            model = client.get(f"/api/models/{told['model_id']}").get_json()
        assert model["dataset"] == told["dataset"]
        assert len(reads) == 1
    assert len(said) == 1
    assert client.get(f"/api/training-status/{job_id}").get_json() == told


def test_the_card_of_a_trainer_is_told_whole_and_read_once(
    client: FlaskClient, told: dict[str, Any], reads: list[str]
) -> None:
    files = {}
    for name, data in (("card.json", CARD.model_dump_json().encode()), ("samples.png", photos.encode(photos.take(1)))):
        stored = bucket().put(f"models/{told['job_id']}.{name}", data)
        place = {"r2_path": f"r2://{bucket().name}/{stored.key}", "size": stored.size, "sha256": stored.sha256}
        files[name.partition(".")[0]] = place
    end = {"outcome": {"engine": "gpu", "extras": files}, "gpu_seconds": 61.5}
    with transaction() as session:
        session.execute(update(Job).where(Job.id == UUID(told["job_id"])).values(end))
    for _ in range(2):
        card = client.get(f"/api/models/{told['model_id']}").get_json()["card"]
        assert len(reads) == 1
    assert card["loss"] == [{"step": 1, "loss": 0.5}]
    assert (card["base"]["licence"], card["base"]["commercial"]) == ("Apache-2.0", True)
    assert (card["engine"], card["gpu_seconds"], card["images"][0]["trained_width"]) == ("gpu", 61.5, 256)
    sheet = client.get(card["samples_url"])
    assert (sheet.status_code, sheet.headers["Content-Type"]) == (200, "image/png")


def test_a_model_is_shown_though_the_bucket_has_lost_its_dataset(
    client: FlaskClient, told: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    end = {"outcome": {"engine": "gpu", "extras": {"card": {"r2_path": f"r2://{bucket().name}/models/broken.json"}}}}
    bucket().put("models/broken.json", b"broken")
    with transaction() as session:
        session.query(Model).where(Model.id == told["model_id"]).update({"dataset": None})
        session.execute(update(Job).where(Job.id == UUID(told["job_id"])).values(end))
    params = client.get(f"/api/jobs/{told['job_id']}").get_json()["params"]
    key = params["images"].split("/", 3)[-1].replace(".zip", ".json")
    kept = bucket().read(key, 2**20)
    bucket().put(key, b"broken")
    with caplog.at_level("INFO"):
        model = client.get(f"/api/models/{told['model_id']}").get_json()
    bucket().put(key, kept)
    assert (model["dataset"], model["card"]["loss"], model["model_id"]) == (None, [], told["model_id"])
    assert "the card of model" in caplog.text
