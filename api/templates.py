"""Templates: prompts with a place for the product's word."""

import re
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from api import files
from api.bodies import read_fields, read_file, read_json
from db import life, templates
from db.base import transaction
from storage.door import take_picture
from tools.contract import Tool
from tools.errors import FileNotFound, TooLarge, UnknownField
from tools.refusal import check_sound, refuse
from tools.resolve_template import PLACEHOLDER, RESOLVE_TEMPLATE
from tools.texts import Text

blueprint = Blueprint("templates", __name__, url_prefix="/api/templates")

#: The largest picture of a template, in bytes.
LARGEST_PICTURE = 20 * 2**20

#: How others write a place in a prompt; no picture is asked for in such words.
ELSEWHERE = re.compile(
    r"\$?\{{1,2}\s?\w{1,40}\s?\}{1,2}|\$[a-z_]\w{0,40}|[\[<]\s?trigger\w{0,40}\s?[\]>]", re.IGNORECASE
)


class NewTemplate(BaseModel):
    """What a template is made of."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text = Field(min_length=1, max_length=200, description="What you call it.", examples=["On marble"])
    prompt: Text = Field(
        min_length=1,
        max_length=4000,
        description="The prompt; trigger_keyword in it stands for the product's word.",
        examples=["trigger_keyword on a marble table, warm light"],
    )

    @field_validator("prompt")
    @classmethod
    def check_place(cls, prompt: str) -> str:
        """Refuse a place for the word in another spelling: it would stay as it is, and the product be in no picture."""
        if PLACEHOLDER not in prompt and (meant := ELSEWHERE.search(prompt)):
            raise ValueError(
                f"where the product's word shall stand, write {PLACEHOLDER}: {meant[0]} would stay as it is"
            )
        return prompt


@blueprint.get("")
def list_templates() -> Response:
    """List all templates."""
    return jsonify([show(template) for template in templates.show_all()])


@blueprint.get("/<template_id>")
def get_template(template_id: str) -> Response:
    """Show one template."""
    return jsonify(show(templates.show_one(template_id)))


@blueprint.post("")
def create_template() -> tuple[Response, int]:
    """Make a template of a form with `name`, `prompt` and, if you like, `image`; or of JSON without one."""
    form = request.mimetype == "multipart/form-data"
    new = read_new(read_fields() if form else read_json(or_form=True))
    made = templates.create(new.name, new.prompt, read_picture() if form else None)
    return jsonify(show(made)), 201


@blueprint.delete("/<template_id>")
def delete_template(template_id: str) -> tuple[str, int]:
    """Delete a template."""
    templates.remove(template_id)
    return "", 204


@blueprint.post("/<template_id>/resolve")
def resolve_template(template_id: str) -> Response:
    """Put a trigger word into a template's prompt: at once, as it needs no GPU."""
    given = read_json()
    if "template_id" in given:
        raise UnknownField.at("template_id", "the address names the template already: leave it out.")
    templates.show_one(template_id)  # an id that is none of a template's is not found, whatever else is wrong
    return jsonify(run_locally(RESOLVE_TEMPLATE, {"template_id": template_id, **given}))


@blueprint.get("/<template_id>/image")
def get_image(template_id: str) -> Response:
    """Serve a template's picture."""
    r2_path = templates.show_one(template_id)["image_r2_path"]
    if r2_path is None:
        raise FileNotFound("This template has no picture.")
    return files.send(r2_path)


def run_locally(tool: Tool, given: dict[str, Any]) -> dict[str, Any]:
    """Do a tool that needs no GPU."""
    if tool.local is None:
        raise TypeError(f"{tool.name} needs a remote")
    params = tool.check(given)
    with transaction() as session:
        found = life.look_up(session, tool, params)
    return tool.answer(params, **tool.local(params, found))


def read_new(given: dict[str, Any]) -> NewTemplate:
    """Check a new template."""
    check_sound(given)
    try:
        return NewTemplate.model_validate(given)
    except ValidationError as error:
        raise refuse(NewTemplate, error) from None


def read_picture() -> str | None:
    """Let a form's picture in."""
    upload = read_file("image")
    if upload is None:
        return None
    data = upload.stream.read(LARGEST_PICTURE + 1)
    if len(data) > LARGEST_PICTURE:
        raise TooLarge(f"A picture may have {LARGEST_PICTURE >> 20} MB.")
    return take_picture(data)


def show(template: dict[str, Any]) -> dict[str, Any]:
    """Add where the picture is served."""
    url = f"/api/templates/{template['id']}/image" if template["image_r2_path"] else None
    return {**template, "image_url": url}
