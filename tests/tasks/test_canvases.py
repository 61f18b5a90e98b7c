"""Canvases of our tasks, on the real broker, with real workers."""

from typing import Any
from uuid import uuid4

import pytest
from celery import chain, chord, group
from redis import Redis
from sqlalchemy import func, select

import tasks
from db import life, pages
from db.base import transaction
from db.jobs import Job
from storage.bucket import bucket
from storage.door import admit_dataset, take_picture
from tasks import mask, train, video
from tests import photos, rig
from tests.conftest import wait_until
from tests.db import rows
from tests.tasks.house import read, wait_for_end
from tools.dataset import TooFewPhotos
from tools.errors import CanvasReused, HandlerFailed, InvalidInput, StorageFailed, ToolError

nap: Any = rig.nap
pytestmark = pytest.mark.usefixtures("house")


def test_a_single_task_answers_with_the_seeds_body_and_its_job_id() -> None:
    sent = nap.delay(seed=7)
    body = sent.get(timeout=30)
    assert list(body) == ["success", "image_url", "r2_path", "nap_params", "duration_seconds", "job_id"]
    assert body["nap_params"] == {"seconds": 0.0, "fate": "", "seed": 7}
    assert body["job_id"] == sent.id
    assert read(sent.id)["result"] == {key: value for key, value in body.items() if key != "job_id"}


def test_a_chain_hands_files_on_and_keeps_the_lineage() -> None:
    sent: Any = chain(nap.s(seed=1), nap.s(seed=2), nap.s(seed=3)).apply_async()
    body = sent.get(timeout=30)
    last, middle, first = read(sent.id), read(sent.parent.id), read(sent.parent.parent.id)
    assert body["job_id"] == sent.id
    assert last["params"]["image_url"] == middle["result"]["r2_path"]
    assert last["drawn_from"] == [middle["job_id"]]
    assert middle["drawn_from"] == [first["job_id"]]
    assert first["drawn_from"] == []


def test_all_rows_stand_before_the_first_task_has_ended() -> None:
    sent: Any = chain(nap.s(seconds=0.5), nap.s()).apply_async()
    waiting = read(sent.id)
    assert (waiting["status"], waiting["stage"]) == ("pending", "waiting_for_upstream")
    wait_for_end(sent.id)


def test_a_group_runs_side_by_side() -> None:
    bodies = group(nap.s(seed=seed) for seed in range(3)).apply_async().get(timeout=30)
    assert [body["nap_params"]["seed"] for body in bodies] == [0, 1, 2]


def test_a_chords_body_says_which_of_two_pictures_it_takes() -> None:
    sent: Any = chord([nap.s(seed=1), nap.s(seed=2)], nap.s(image_url="${1.r2_path}")).apply_async()
    sent.get(timeout=30)
    drawn = [read(job_id) for job_id in read(sent.id)["drawn_from"]]
    taken = read(sent.id)["params"]["image_url"]
    assert [job["params"]["seed"] for job in drawn if job["result"]["r2_path"] == taken] == [2]


def test_two_candidates_for_one_field_are_refused() -> None:
    sent: Any = chord([nap.s(), nap.s()], nap.s()).apply_async()
    (job,) = wait_for_end(sent.id)
    assert job["error"]["code"] == "ambiguous_input"


def test_a_chord_nested_in_a_chain_in_a_chord() -> None:
    inner = chain(nap.s(seed=1), group(nap.s(seed=2), nap.s(seed=3)), nap.s(seed=4, image_url="${0.r2_path}"))
    sent: Any = chain(nap.s(seed=0), group(nap.s(seed=5), inner), nap.s(seed=6, image_url="${0.r2_path}")).apply_async()
    assert sent.get(timeout=60)["nap_params"]["seed"] == 6
    assert len(read(sent.id)["drawn_from"]) == 2


def test_map_makes_a_job_of_each_result() -> None:
    results = group(nap.s(seed=seed) for seed in range(2)).apply_async().get(timeout=30)
    mapped = nap.map(results).apply_async().get(timeout=30)
    assert [read(body["job_id"])["drawn_from"] for body in mapped] == [[body["job_id"]] for body in results]


@pytest.mark.parametrize("spread", [nap.starmap, lambda rows: nap.chunks(rows, 2)])
def test_starmap_and_chunks_make_a_job_of_each_row(spread: Any) -> None:
    result = nap.delay().get(timeout=30)
    bodies = spread([(result,), (result,), (result,)]).apply_async().get(timeout=30)
    assert len({body["job_id"] for body in bodies}) == 3


def test_a_linked_task_gets_its_row_when_it_first_runs() -> None:
    follower = nap.s(seed=9)
    follower_id = follower.freeze().id
    nap.apply_async(kwargs={"seed": 8}, link=follower).get(timeout=30)
    wait_until(lambda: any(job["job_id"] == follower_id for job in pages.read_list(tool="nap")["data"]))
    (job,) = wait_for_end(follower_id)
    assert (job["status"], job["params"]["seed"]) == ("completed", 9)


def test_tasks_of_other_people_may_stand_in_between() -> None:
    sent: Any = chain(nap.s(seed=1), rig.pass_on.s(), nap.s(seed=2)).apply_async()
    sent.get(timeout=30)
    assert read(sent.id)["drawn_from"] == [sent.parent.parent.id]


def test_a_failing_task_of_other_people_ends_the_jobs_behind_it() -> None:
    sent: Any = chain(nap.s(), rig.fail.s(), nap.s(), nap.s()).apply_async()
    jobs = wait_for_end(sent.id, sent.parent.id)
    assert {(job["status"], job["error"]["code"]) for job in jobs} == {("cancelled", "upstream_failed")}


def test_a_failure_cancels_what_follows_and_is_raised() -> None:
    sent: Any = chain(nap.s(fate="fail"), nap.s(), nap.s()).apply_async()
    with pytest.raises(HandlerFailed):
        sent.parent.parent.get(timeout=30)
    jobs = wait_for_end(sent.id, sent.parent.id)
    assert {(job["status"], job["error"]["code"]) for job in jobs} == {("cancelled", "upstream_failed")}


def test_a_failure_for_want_of_the_bucket_is_an_end_and_not_tried_for_ever() -> None:
    sent: Any = chain(nap.s(fate="starve"), nap.s()).apply_async()
    with pytest.raises(StorageFailed):
        sent.parent.get(timeout=30)
    (job,) = wait_for_end(sent.id)
    assert (job["status"], job["error"]["code"]) == ("cancelled", "upstream_failed")


def test_link_error_hears_of_a_failure(redis_url: str) -> None:
    key = f"heard:{uuid4()}"
    nap.apply_async(kwargs={"fate": "fail"}, link_error=rig.note.si(key=key))
    with Redis.from_url(redis_url) as redis:
        wait_until(lambda: redis.llen(key) == 1)


def test_a_member_that_fails_fails_the_chord() -> None:
    sent: Any = chord([nap.s(), nap.s(fate="fail")], nap.s(image_url="${0.r2_path}")).apply_async()
    (job,) = wait_for_end(sent.id)
    assert (job["status"], job["error"]["code"]) == ("cancelled", "upstream_failed")


def test_a_chord_of_which_a_part_was_refused_is_never_taken_for_a_smaller_one() -> None:
    with pytest.raises(InvalidInput, match="sed"):
        chord([nap.s(seed=1), nap.s(sed=2)], nap.s(image_url="${0.r2_path}")).apply_async()
    with transaction() as session:
        newest = select(Job).where(func.cardinality(Job.members) > 0).order_by(Job.created_at.desc()).limit(1)
        body = session.scalars(newest).one()
    (member,) = body.upstream
    assert len(body.members) == 2
    wait_for_end(str(member))
    with transaction() as session:
        assert life.count_members(session, member) is None
    assert read(body.id)["status"] == "pending"


def test_sending_a_chain_twice_is_refused() -> None:
    canvas = chain(nap.s(seed=1), nap.s(seed=2))
    canvas.apply_async().get(timeout=30)
    with pytest.raises(CanvasReused, match=r"clone\(\)"):
        canvas.apply_async()


def test_a_chain_can_be_sent_often_by_its_clones() -> None:
    canvas = chain(nap.s(seed=1), nap.s(seed=2))
    bodies = [canvas.clone().apply_async().get(timeout=30) for _ in range(2)]
    assert bodies[0]["job_id"] != bodies[1]["job_id"]


def test_a_wrong_field_anywhere_in_a_chain_is_refused_before_anything_is_sent() -> None:
    before = pages.read_list(tool="nap", limit=1)["data"][0]["job_id"]
    with pytest.raises(InvalidInput, match="mask_dilation"):
        chain(nap.s(), mask.s(object_name="bag", mask_dilatation=3)).apply_async()
    assert pages.read_list(tool="nap", limit=1)["data"][0]["job_id"] == before


def test_a_first_use_that_is_wrong_is_told_how_it_is_right() -> None:
    before = count_masks()
    with pytest.raises(InvalidInput, match=r"Params of mask go by name: mask\.delay\(image_url=…\)\."):
        mask.delay("r2://packshot/uploads/a.png", "bag")
    for call in (mask, lambda: mask.apply().get()):
        with pytest.raises(TypeError, match=r"mask runs as a job: call \.delay"):
            call()
    with pytest.raises(AttributeError, match="there is no tool masking; there are train, "):
        tasks.masking  # noqa: B018 - it is looked up
    assert count_masks() == before


def count_masks() -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.tool == "mask")) or 0


def test_a_gap_that_nobody_fills_says_who_could() -> None:
    sent: Any = chain(nap.s(), mask.s(object_name="bag"), video.s()).apply_async()
    (job,) = wait_for_end(sent.id)
    assert job["status"] in {"failed", "cancelled"}
    lone = video.delay()
    with pytest.raises(ToolError, match=r"put .*generate.* before video"):
        lone.get(timeout=30)


def test_a_countdown_waits_as_a_row() -> None:
    sent: Any = nap.apply_async(countdown=2)
    wait_until(lambda: read(sent.id)["stage"] == "delayed")
    (job,) = wait_for_end(sent.id)
    assert job["status"] == "completed"


def test_a_revoked_task_cancels_its_job() -> None:
    sent: Any = nap.apply_async(countdown=3)
    sent.revoke()
    (job,) = wait_for_end(sent.id)
    assert job["status"] == "cancelled"


def test_tasks_of_other_people_may_have_ids_of_any_form() -> None:
    follower = nap.s()
    follower_id = follower.freeze().id
    sent: Any = rig.pass_on.apply_async(args=(1,), task_id="an id of mine", link=follower)
    assert sent.get(timeout=30) == 1
    wait_until(lambda: any(job["job_id"] == follower_id for job in pages.read_list(tool="nap")["data"]))
    assert wait_for_end(follower_id)[0]["status"] == "completed"
    with pytest.raises(InvalidInput, match="give a UUID"):
        nap.apply_async(task_id="an id of mine")


@pytest.mark.parametrize("address", ["r2://somebody-else/uploads/a.png", "r2://packshot/models/a.safetensors"])
def test_what_a_task_of_other_people_hands_on_comes_in_by_the_door(address: str) -> None:
    sent: Any = chain(rig.pass_on.s({"image_url": address}), nap.s()).apply_async()
    (job,) = wait_for_end(sent.id)
    assert job["error"]["code"] == "path_not_allowed"


@pytest.mark.parametrize("address", ["https://[bad", "https://a\u2100b.example/x.png"])
def test_an_address_that_cannot_be_read_ends_its_own_step_however_late_it_comes(address: str) -> None:
    sent: Any = chain(nap.s(seed=1), mask.s(object_name="bag", image_url=address), video.s()).apply_async()
    first, second, third = wait_for_end(sent.parent.parent.id, sent.parent.id, sent.id)
    assert (first["status"], second["status"]) == ("completed", "failed")
    assert (second["error"]["code"], third["error"]["code"]) == ("url_blocked", "upstream_failed")
    wait_until(lambda: rows.job(first["job_id"]).settled_at is not None)
    assert len(rows.job(first["job_id"]).attempts) == 1


NAMED = {"model_name": "Bag", "trigger_word": "TOK_BAG"}


def put(name: str, packed: bytes) -> str:
    bucket().put(f"uploads/{name}", packed)
    return f"r2://{bucket().name}/uploads/{name}"


def test_a_training_on_three_photos_ends_before_there_is_an_attempt() -> None:
    few = photos.pack({**{f"{n}.png": photos.encode(photos.take(n)) for n in range(3)}, "page.png": b"<html>"})
    sent: Any = train.delay(images=put("few.zip", few), **NAMED)
    with pytest.raises(TooFewPhotos, match="3 of 4 photos can be used"):
        sent.get(timeout=60)
    (job,) = wait_for_end(sent.id)
    assert (job["status"], job["error"]["code"]) == ("failed", "too_few_photos")
    assert [one["source"] for one in job["error"]["left_out"]] == ["page.png"]
    assert rows.job(job["job_id"]).attempts == []


def test_a_training_on_a_list_is_told_what_its_photos_advise() -> None:
    listed = [take_picture(photos.encode(photos.take(n))) for n in range(50, 54)]
    sent: Any = train.delay(images=listed, lora_rank=8, **NAMED)
    (job,) = wait_for_end(sent.id, patience_s=90)
    assert {name: job["params"][name] for name in ("steps", "lr", "lora_rank", "resolution")} == {
        "steps": 500, "lr": 5e-5, "lora_rank": 8, "resolution": 320,
    }  # fmt: skip
    assert job["params"]["images"] == admit_dataset(listed, "TOK_BAG").address
    assert len(rows.job(job["job_id"]).attempts) == 1
