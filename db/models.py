"""Trained models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, ForeignKey, Identity, Integer, Select, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.base import Base, Moment, transaction
from db.jobs import ENDED, Job
from tools.card import SAMPLES
from tools.errors import FileNotFound, ModelFailed, ModelNotFound, ModelNotReady

#: What a handler calls its contact sheet of a product.
CUTOUTS = "cutouts"

#: The pictures that lie beside models, and which engine makes them.
SHEETS = {CUTOUTS: "the preview engine", SAMPLES: "a training on a GPU"}


class Model(Base):
    """A trained model. It is ready when it has a `model_string`."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), unique=True)
    name: Mapped[str]
    trigger_word: Mapped[str]
    #: The r2:// address of its LoRA.
    model_string: Mapped[str | None]
    #: What its dataset says of itself, and the card that its trainer wrote, once they were read from the bucket.
    dataset: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    card: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))


def expect(session: Session | Connection, job_id: UUID, params: dict[str, Any]) -> None:
    """Give the model of a training job its id, before the training; again: nothing changes."""
    row = {"job_id": job_id, "name": params["model_name"], "trigger_word": params["trigger_word"]}
    session.execute(insert(Model).values(row).on_conflict_do_nothing())


def complete(session: Session, job_id: UUID, model_string: str) -> int:
    """Note where the LoRA is: from now on the model is ready. Returns the model's id."""
    found = update(Model).where(Model.job_id == job_id).values(model_string=model_string).returning(Model.id)
    return session.scalars(found).one()


def find_ready(session: Session, model_id: int) -> dict[str, Any]:
    """Find what a handler needs of a model. Raises ModelNotFound, ModelNotReady, ModelFailed."""
    model, status, _ = read(session, model_id)
    if model.model_string is None:
        raise ModelFailed if status in ENDED else ModelNotReady
    return tell(model)


def find_named(session: Session, name: str) -> dict[str, Any]:
    """Find the newest ready model of this name or trigger word: {} if there is none."""
    said = name.strip().lower()
    called = or_(func.lower(Model.name) == said, func.lower(Model.trigger_word) == said)
    newest = select(Model).where(called, Model.model_string.is_not(None)).order_by(Model.id.desc()).limit(1)
    model = session.scalars(newest).first()
    return tell(model) if model else {}


def tell(model: Model) -> dict[str, Any]:
    """Tell what a handler needs of a model."""
    return {"model_string": model.model_string, "trigger_word": model.trigger_word, "name": model.name}


def show_all() -> list[dict[str, Any]]:
    """List the models, the newest first."""
    with transaction() as session:
        return [show(row) for row in session.execute(rows().order_by(Model.id.desc()))]


def find_sheet(model_id: int, name: str) -> str:
    """Find a picture beside a model, such as its cut-outs: the r2:// address. Raises ModelNotFound, FileNotFound."""
    with transaction() as session:
        _, _, extras = read(session, model_id)
    if name not in (extras or {}):
        raise FileNotFound(f"This model has no {name}: {SHEETS[name]} makes some, when it is through.")
    return str(extras[name]["r2_path"])


def read(session: Session, model_id: int) -> Any:
    """Read a model, the status of its training, and the files it left beside its LoRA. Raises ModelNotFound."""
    row = session.execute(rows().where(Model.id == model_id)).one_or_none()
    if row is None:
        raise ModelNotFound
    return row


def rows() -> Select[Model, str, Any]:
    """Select models with the status of their training, and the files that it left beside the LoRA."""
    return select(Model, Job.status, Job.outcome["extras"]).join(Job, Job.id == Model.job_id)


def show(row: Any) -> dict[str, Any]:
    """Show a model in the seed's words."""
    model, status, extras = row
    return {
        "model_id": model.id,
        "job_id": str(model.job_id),
        "model_name": model.name,
        "trigger_word": model.trigger_word,
        "status": "completed" if model.model_string else status,
        "model_string": model.model_string,
        "cutouts_url": f"/api/models/{model.id}/cutouts" if CUTOUTS in (extras or {}) else None,
        "created_at": model.created_at.isoformat(),
    }
