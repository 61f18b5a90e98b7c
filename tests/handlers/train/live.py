"""The real trainer on tiny bases: it learns, what it learnt holds, and it goes on where it was stopped."""

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from gpu_handlers.comfyui import manifest
from gpu_handlers.train.gpu import FAMILIES
from gpu_handlers.train.lora import base as bases
from gpu_handlers.train.lora import learning, samples, soundness, way
from storage.bucket import bucket
from tests.handlers.comfyui.desk import Desk
from tests.handlers.train import school
from tests.handlers.train.school import read_card, read_lora, read_samples, train
from tools.outcome import Outcome
from tools.train import LoraUnsound

FIGURES: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """Tell what was measured."""
    yield
    out = Path("var/train/latest.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(FIGURES, indent=1))
    print(f"\n{json.dumps(FIGURES, indent=1)}")


def made(outcome: Outcome) -> Outcome:
    assert outcome.error is None, outcome.error
    return outcome


def is_kept() -> bool:
    return bool(bucket().find("checkpoints/"))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_loss_on_a_fixed_set_falls_for_three_seeds(base: str) -> None:
    seeds = set()
    for number in range(3):
        images = school.put_photos(f"seed-{number}.zip", note=f", set {number}")  # other words, so another seed
        card = read_card(made(train(Desk(), images, steps=40, batch_size=2)))
        FIGURES[f"{base}, seed {card.seed}"] = {
            "loss before": round(card.loss_before, 4), "after": round(card.loss_after, 4), "seconds": card.gpu_seconds,
        }  # fmt: skip
        assert card.loss_after < card.loss_before
        seeds.add(card.seed)
    assert len(seeds) == 3


def test_the_card_says_what_was_done(base: str) -> None:
    desk = Desk()
    outcome = made(train(desk, school.put_photos()))
    card = read_card(outcome)
    assert [picture.caption for picture in card.images] == [
        "TOK_BAG", "TOK_BAG, a bag, view 1", "TOK_BAG", "TOK_BAG, a bag, view 3",
    ]  # fmt: skip
    assert [(picture.trained_width, picture.trained_height) for picture in card.images] == [(256, 256), (256, 192)] * 2
    assert card.base.name == manifest.profile("train").names["base"]
    assert (card.base.generates_with, card.base.commercial) == (base, base == "flux2-klein-4b")
    assert (card.parameters.steps, card.parameters.lora_rank) == (6, 4)
    assert [point.step for point in card.loss] == [1, 2, 3, 4, 5, 6]
    assert (card.device, card.precision, card.resumed_from) == ("cpu", "float32", 0)
    assert set(card.versions) == {"torch", "diffusers", "peft", "accelerate", "transformers"}
    assert outcome.facts["seed"] == card.seed
    assert any("of 6, loss" in stage and "min left" in stage for _, stage in desk.told)
    assert [told for told, _ in desk.told] == sorted(told for told, _ in desk.told)
    assert not is_kept(), "what is finished is not gone on from"


def test_the_grid_shows_four_prompts_without_the_lora_and_with_it(base: str) -> None:
    outcome = made(train(Desk(), school.put_photos(), lr=1e-2))
    card, grid = read_card(outcome), read_samples(outcome)
    assert grid.shape == (4 * 256, 2 * 256, 3)
    assert [row.prompt for row in card.samples.rows] == samples.name("TOK_BAG")
    assert all("TOK_BAG" in row.prompt for row in card.samples.rows)
    for row in range(4):
        cells = grid[row * 256 : (row + 1) * 256].astype(int)
        assert cells.std() > 1, "a picture and no plain colour"
        changed = float(np.abs(cells[:, :256] - cells[:, 256:]).mean())
        FIGURES[f"{base}, change of sample {row}, of 255"] = round(changed, 2)
        assert changed > 0.1


def test_every_key_of_the_file_has_its_place_in_the_base(base: str) -> None:
    outcome = made(train(Desk(), school.put_photos()))
    tensors, card = read_lora(outcome), read_card(outcome)
    assert len(tensors) == 2 * card.modules
    assert sum(tensor.size for tensor in tensors.values()) == card.trained_numbers
    assert card.modules == {"flux1-dev": 17, "flux2-klein-4b": 14}[base]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda name, tensor: {} if ".to_q.lora_A" in name else {name: tensor}, "do not fit the base"),
        (lambda name, tensor: {name.replace("to_q", "to_z"): tensor}, "do not fit the base"),
        (lambda name, tensor: {name: tensor[:, :-1] if ".to_q.lora_A" in name else tensor}, "another size"),
        (lambda name, tensor: {name: tensor * np.float32("nan")}, "not finite"),
        (lambda name, tensor: {name: tensor * np.float32(".lora_A." in name)}, "adds nothing"),
    ],
    ids=["a key too few", "a key of nothing", "another size", "no numbers", "zero"],
)
def test_a_file_that_is_no_lora_of_its_base_is_refused(
    base: str, models: Path, tmp_path: Path, change: Any, told: str
) -> None:
    family, folder = FAMILIES[base], models / "diffusers" / manifest.profile("train").names["base"]
    model = bases.load(family, folder, way.find(), 4, 1)
    with torch.no_grad():
        for name, weight in model.transformer.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    path = model.save(tmp_path / "lora.safetensors", "{}")
    assert soundness.prove(path, model.transformer, family.modules).modules > 10

    changed = {
        k: np.ascontiguousarray(v) for name, one in load_file(path).items() for k, v in change(name, one).items()
    }
    path.write_bytes(save(changed))
    with pytest.raises(LoraUnsound, match=told):
        soundness.prove(path, model.transformer, family.modules)


@pytest.mark.usefixtures("base")
def test_a_stopped_training_goes_on_to_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    images = school.put_photos()
    whole = made(train(Desk(), images))
    desk, taken = Desk(), stop_after(3, monkeypatch, stop := threading.Event())
    desk.stop = stop
    cancelled = train(desk, images)
    assert cancelled.error is not None
    assert (cancelled.error["code"], cancelled.file) == ("cancelled", None)
    assert taken == [0, 1, 2], "it stops within the step"
    assert is_kept()
    again = made(train(Desk(), images))
    assert taken == [0, 1, 2, 3, 4, 5]
    assert read_card(again).resumed_from == 3
    assert same(read_lora(whole), read_lora(again)), "bit for bit"
    assert read_card(whole).loss == read_card(again).loss
    assert np.array_equal(read_samples(whole), read_samples(again))
    assert not is_kept()


def stop_after(count: int, patch: pytest.MonkeyPatch, stop: threading.Event) -> list[int]:
    """Set an event during the step of that number; gives the steps that are taken."""
    taken: list[int] = []
    take = learning.take

    def watched(course: Any, step: int, learner: Any) -> float:
        taken.append(step)
        if len(taken) == count:
            stop.set()
        return take(course, step, learner)

    patch.setattr(learning, "take", watched)
    return taken


@pytest.mark.usefixtures("base")
def test_another_training_does_not_go_on_from_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        desk = Desk()
        stop_after(3, patch, desk.stop)
        assert train(desk, school.put_photos()).error
    outcome = made(train(Desk(), school.put_photos(), lr=2e-3))
    assert read_card(outcome).resumed_from == 0
    for key in bucket().find("checkpoints/"):
        bucket().delete(key)


@pytest.mark.usefixtures("base")
def test_a_training_whose_time_is_over_goes_on_when_it_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    images = school.put_photos()
    with monkeypatch.context() as patch:
        patch.setattr(learning, "LATEST", 1e-9)
        late = train(Desk(), images)
    assert late.error is not None
    assert late.error["code"] == "execution_timeout"
    assert late.error["retryable"]
    assert "at step 0 of 6" in late.error["detail"]
    made(train(Desk(), images))


@pytest.mark.usefixtures("base")
def test_a_torn_checkpoint_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    images = school.put_photos()
    with monkeypatch.context() as patch:
        desk = Desk()
        stop_after(3, patch, desk.stop)
        assert train(desk, images).error
    (key,) = bucket().find("checkpoints/")
    bucket().put(key, bucket().read(key, 2**28)[:-100])
    assert read_card(made(train(Desk(), images))).resumed_from == 0
