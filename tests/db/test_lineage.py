"""What a job is told of the jobs before it, and what its ids stand for."""

from uuid import uuid4

import pytest

from db import cards, life, lineage, models
from db.base import transaction
from tests.db import rows
from tools.catalog import TOOLS
from tools.errors import FileNotFound, ModelFailed, ModelNotFound, ModelNotReady, TemplateNotFound
from tools.references import Handed

pytestmark = pytest.mark.usefixtures("tables")


def test_what_the_ids_stand_for_is_looked_up() -> None:
    training = rows.accept("train")
    model_id = cards.find_trained(training).model.id

    def look_up(tool: str, **given: object) -> dict[str, dict[str, object]]:
        with transaction() as session:
            return life.look_up(session, TOOLS[tool], TOOLS[tool].check(given))

    with pytest.raises(ModelNotReady):
        look_up("generate", model_id=model_id, prompt="x")
    with transaction() as session:
        assert models.complete(session, training, "r2://packshot/models/a.safetensors") == model_id
    assert look_up("generate", model_id=model_id, prompt="x") == {
        "model_id": {"model_string": "r2://packshot/models/a.safetensors", "trigger_word": "TOK_SHOE", "name": "Shoe"}
    }
    shown = cards.show_model(cards.find(model_id))
    assert (shown["model_string"], shown["status"]) == ("r2://packshot/models/a.safetensors", "completed")
    assert any(listed.items() <= shown.items() for listed in models.show_all())
    with pytest.raises(ModelNotFound):
        cards.find(2**31 - 1)
    with pytest.raises(ModelNotFound):
        look_up("generate", model_id=2**31 - 1, prompt="x")
    for unknown in (str(uuid4()), "no id"):
        with pytest.raises(TemplateNotFound):
            look_up("resolve_template", template_id=unknown, trigger_word="T")
    assert look_up("mask", image_url="r2://packshot/uploads/a.png", object_name="a boot") == {"object_name": {}}


def test_an_object_that_was_trained_is_known_by_its_name_or_its_trigger_word() -> None:
    for address in ("r2://packshot/models/old.safetensors", "r2://packshot/models/new.safetensors"):
        with transaction() as session:
            models.complete(session, rows.accept("train"), address)
    rows.accept("train")  # one that is still in training is none
    with transaction() as session:
        for name in ("Shoe", " tok_shoe"):
            assert models.find_named(session, name)["model_string"] == "r2://packshot/models/new.safetensors"
        assert models.find_named(session, "boot") == {}


def test_a_model_without_cutouts_says_so() -> None:
    known = cards.find_trained(rows.accept("train"))
    assert cards.show_model(known)["cutouts_url"] is None
    with pytest.raises(FileNotFound, match="no cutouts: the preview engine makes some"):
        models.find_sheet(known.model.id, "cutouts")


def test_a_model_whose_training_failed_is_not_waited_for() -> None:
    training = rows.accept("train")
    model_id = cards.find_trained(training).model.id
    with transaction() as session:
        job = life.lock(session, training)
        assert job
        life.end(session, job, "failed", error={})
    with transaction() as session, pytest.raises(ModelFailed):
        models.find_ready(session, model_id)


def test_results_are_named_by_position_and_known_by_their_job() -> None:
    mine = rows.accept("video")
    ours, foreign = (
        {"job_id": str(mine), "r2_path": "r2://packshot/generated/a.mp4"},
        {"image_url": "https://x.example/a"},
    )
    with transaction() as session:
        handed = lineage.hand_on(session, [[ours, foreign], 5, "text", {"job_id": "no id"}, {"job_id": str(uuid4())}])
    assert handed["0"] == Handed("video", ours)
    assert [handed[str(n)].tool for n in range(4)] == ["video", None, None, None]
    assert len(handed) == 4


def test_what_carries_no_job_id_of_ours_is_passed_over() -> None:
    mine = uuid4()
    assert lineage.job_ids([{"job_id": str(mine)}, {"job_id": 5}, {"job_id": None}, {}, None, "x", [1]]) == [mine]


def test_lineage_is_walked_back_level_by_level() -> None:
    train, resolve, other, generate, mask = (rows.accept() for _ in range(5))
    for job_id, drawn in ((resolve, [train]), (other, [train]), (generate, [resolve, other]), (mask, [generate])):
        rows.change(job_id, drawn=drawn)
    for job_id in (train, resolve, generate):
        rows.end(job_id, result={"me": str(job_id)})
    with transaction() as session:
        levels = lineage.trace(session, [mask])
        assert lineage.trace(session, []) == []
    assert [[handed.values["me"] for handed in level] for level in levels] == [
        [str(generate)], [str(resolve)], [str(train)],
    ]  # fmt: skip


def test_a_circle_in_the_lineage_has_an_end() -> None:
    one, two = rows.accept(), rows.accept()
    rows.change(one, drawn=[two])
    rows.change(two, drawn=[one])
    with transaction() as session:
        assert len(lineage.trace(session, [one])) == lineage.FURTHEST
