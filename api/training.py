"""Training, and the models that come of it."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, jsonify, request

from api import files, submitting
from api.bodies import read_file, read_form, read_json
from api.cards import learn
from api.jobs import read_count
from api.preferences import Preference, read_key
from api.tools import read_id
from db import cards, intake, models
from db.models import CUTOUTS
from settings import settings
from storage.door import take_archive
from storage.spool import spool
from tools.card import SAMPLES
from tools.dataset import LEAST, MOST
from tools.errors import MissingInput, ModelNotFound
from tools.train import TRAIN, Training
from tools.tuning import advise
from tools.webhooks import part

blueprint = Blueprint("training", __name__, url_prefix="/api")


@blueprint.get("/models")
def list_models() -> Response:
    """List all trained models."""
    return jsonify(models.show_all())


@blueprint.get("/models/<model_id>")
def get_model(model_id: str) -> Response:
    """Show one model."""
    return jsonify(cards.show_model(learn(cards.find(read_model_id(model_id)))))


def read_model_id(text: str) -> int:
    """Read the id of a model in a path. Raises ModelNotFound."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ModelNotFound
    return int(text)


@blueprint.get("/models/<model_id>/cutouts")
def get_cutouts(model_id: str) -> Response:
    """Show what a model was made from: the product, cut out of its photos, as a PNG."""
    return files.send(models.find_sheet(read_model_id(model_id), CUTOUTS))


@blueprint.get("/models/<model_id>/samples")
def get_samples(model_id: str) -> Response:
    """Show what a model does to four prompts: pictures without it and with it, as a PNG."""
    return files.send(models.find_sheet(read_model_id(model_id), SAMPLES))


@blueprint.get("/training-config")
def get_training_config() -> Response:
    """Show the default training params; with `?images=n`, those for so many photos, and why."""
    if "images" not in request.args:
        return jsonify(Training().model_dump())
    advice = advise(read_count("images", LEAST, MOST, smallest=LEAST))
    return jsonify({**advice.training.model_dump(), "because": advice.because, "reasons": advice.reasons})


@blueprint.get("/training-status/<job_id>")
def get_training_status(job_id: str) -> Response:
    """Show how a training is."""
    return jsonify(cards.show_training(cards.find_trained(read_id(job_id))))


@blueprint.post("/train")
def train() -> Response:
    """Train a model: a form with the photos as a zip in `images`, or JSON that names a zip in our bucket."""
    if request.mimetype == "multipart/form-data":
        job_id, replayed = train_upload(read_form(TRAIN))
    else:
        job_id, replayed = submitting.submit(TRAIN, read_json(or_form=True), awaited=False)
    response = jsonify(cards.show_training(learn(cards.find_trained(job_id))))
    response.status_code = 202
    return submitting.finish(response, job_id, Preference(0), replayed=replayed)


def train_upload(given: dict[str, Any]) -> tuple[UUID, bool]:
    """Take the zip to disk while it is hashed; only when all else is right is it opened and stored."""
    told, _ = TRAIN.part(part(given)[0])
    TRAIN.check_given({"images": "r2://", **told})
    upload = read_file("images", "pack them into one zip")
    if upload is None:
        raise MissingInput.at("images", "send a zip of photos as a file in the form's field images.")
    with spool(upload.stream, settings().max_upload_bytes) as spooled:
        fingerprint = {**given, "images": spooled.sha256}
        key = read_key(TRAIN.name, fingerprint)
        if key and (known := intake.find_key(key)):
            return known, True
        TRAIN.check({**told, "images": "r2://"})  # what is missing is told before the zip is opened
        given = {**given, "images": take_archive(spooled.path, told["trigger_word"])}
    return submitting.submit(TRAIN, given, awaited=False, fingerprint=fingerprint)
