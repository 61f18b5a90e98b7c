"""Templates: prompts with a place for the product's word."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from db.base import Base, Moment, transaction
from tools.errors import TemplateNotFound


class Template(Base):
    """A prompt with a place for the product's word, and a picture of what it gives."""

    __tablename__ = "templates"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    prompt: Mapped[str]
    image_r2_path: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=text("clock_timestamp()"))


def find(session: Session, template_id: str) -> dict[str, Any]:
    """Find what resolving needs of a template. Raises TemplateNotFound."""
    return show(find_row(session, template_id))


def find_row(session: Session, template_id: str) -> Template:
    """Find a template. Raises TemplateNotFound, also for what is no id at all."""
    try:
        template = session.get(Template, UUID(template_id))
    except ValueError:
        template = None
    if template is None:
        raise TemplateNotFound
    return template


def show_all() -> list[dict[str, Any]]:
    """List the templates, the newest first."""
    with transaction() as session:
        return [show(row) for row in session.scalars(select(Template).order_by(Template.created_at.desc()))]


def show_one(template_id: str) -> dict[str, Any]:
    """Show one template. Raises TemplateNotFound."""
    with transaction() as session:
        return show(find_row(session, template_id))


def create(name: str, prompt: str, image_r2_path: str | None) -> dict[str, Any]:
    """Add a template."""
    with transaction() as session:
        template = Template(id=uuid4(), name=name, prompt=prompt, image_r2_path=image_r2_path)
        session.add(template)
        session.flush()
        session.refresh(template)
        return show(template)


def remove(template_id: str) -> None:
    """Delete a template. Raises TemplateNotFound."""
    with transaction() as session:
        template = find_row(session, template_id)
        session.execute(delete(Template).where(Template.id == template.id))


def show(template: Template) -> dict[str, Any]:
    """Show a template."""
    return {
        "id": str(template.id),
        "name": template.name,
        "prompt": template.prompt,
        "image_r2_path": template.image_r2_path,
        "created_at": template.created_at.isoformat(),
    }
