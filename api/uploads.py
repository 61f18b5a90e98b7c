"""Bring a picture of your own into the bucket, so that tools can name it."""

from flask import Blueprint, Response, jsonify

from api.templates import read_picture
from tools.errors import MissingInput

blueprint = Blueprint("uploads", __name__, url_prefix="/api/uploads")


@blueprint.post("")
def upload() -> tuple[Response, int]:
    """Take a form's `image` in: decoded, cleaned, and stored under its own hash."""
    r2_path = read_picture()
    if r2_path is None:
        raise MissingInput.at("image", "send a picture in the form's field image.")
    return jsonify({"success": True, "r2_path": r2_path}), 201
