"""The card of a model: what it was made of, how, and how that went."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import undefer

from db import models
from db.base import transaction
from db.jobs import Job
from db.models import Model
from tools.card import CARD, SAMPLES
from tools.dataset import Manifest
from tools.errors import JobNotFound, ModelNotFound
from tools.train import Training
from tools.tuning import explain


@dataclass(frozen=True)
class Known:
    """A model, and what its training job knows of it."""

    model: Model
    status: str
    params: dict[str, Any]
    outcome: dict[str, Any]
    gpu_seconds: float

    @property
    def files(self) -> dict[str, Any]:
        """The files beside the model, by what they are."""
        return self.outcome.get("extras") or {}

    @property
    def dataset_at(self) -> str | None:
        """Where its dataset lies, if what that says of itself is not in the row yet."""
        return self.params.get("images") if self.model.dataset is None else None

    @property
    def card_at(self) -> str | None:
        """Where the trainer's own card lies, if there is one that is not in the row yet."""
        found = self.files.get(CARD)
        return str(found["r2_path"]) if found and self.model.card is None else None


def find(model_id: int) -> Known:
    """Find a model by its id. Raises ModelNotFound."""
    if known := read(Model.id == model_id):
        return known
    raise ModelNotFound


def find_trained(job_id: UUID) -> Known:
    """Find the model that a training job makes. Raises JobNotFound."""
    if known := read(Model.job_id == job_id):
        return known
    raise JobNotFound


def read(which: ColumnElement[bool]) -> Known | None:
    """Read a model with its job, in one statement."""
    wanted = select(Model, Job.status, Job.params, Job.outcome, Job.gpu_seconds).join(Job, Job.id == Model.job_id)
    with transaction() as session:
        row = session.execute(wanted.where(which).options(undefer(Model.dataset), undefer(Model.card))).one_or_none()
    return Known(row[0], row[1], row[2] or {}, row[3] or {}, row[4]) if row else None


def keep(known: Known, **found: dict[str, Any]) -> None:
    """Keep in the row what was read from the bucket, so that nobody reads it there again: `dataset` or `card`."""
    with transaction() as session:
        session.execute(update(Model).where(Model.id == known.model.id).values(found))


def show_training(known: Known) -> dict[str, Any]:
    """Show a training: the seed's keys, then which photos are learnt, how, and why so."""
    shown = models.show((known.model, known.status, known.files))
    promised = ("model_id", "job_id", "model_name", "trigger_word", "status", "model_string")
    return {**{name: shown[name] for name in promised}, **show_dataset(known)}


def show_model(known: Known) -> dict[str, Any]:
    """Show a model, with its card."""
    shown = models.show((known.model, known.status, known.files))
    return {**shown, **show_dataset(known), "card": show_card(known)}


def show_dataset(known: Known) -> dict[str, Any]:
    """Show how many photos are learnt, which were left out and why, with which params, and why with these."""
    parameters = {name: known.params[name] for name in Training.model_fields if name in known.params}
    if known.model.dataset is None:
        return {"dataset": None, "parameters": parameters, "because": None, "reasons": {}}
    manifest = Manifest.model_validate(known.model.dataset)
    left_out = [one.model_dump() for one in manifest.left_out]
    told = explain(len(manifest.images), manifest.side_px, parameters)
    return {"dataset": {"images": len(manifest.images), "left_out": left_out}, "parameters": parameters, **told}


def show_card(known: Known) -> dict[str, Any]:
    """Show the card: what the trainer wrote, and what is known where it wrote none, as the preview does."""
    photos = (known.model.dataset or {}).get("images", [])
    parameters = show_dataset(known)["parameters"]
    own: dict[str, Any] = {"base": None, "images": [*map(show_photo, photos)], "parameters": parameters, "loss": []}
    return {
        "engine": known.outcome.get("engine"),
        **own,
        **(known.model.card or {}),
        "samples_url": f"/api/models/{known.model.id}/samples" if SAMPLES in known.files else None,
        "gpu_seconds": known.gpu_seconds,
    }


def show_photo(photo: dict[str, Any]) -> dict[str, Any]:
    """Show a photo as the trainer's card does."""
    return {name: photo[name] for name in ("name", "caption", "width", "height", "sha256", "source")}
