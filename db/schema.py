"""Bring the database's schema to what the code expects."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from db.base import engine, reachable


def config() -> Config:
    """Configure Alembic without a file of its own."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def upgrade(revision: str = "head") -> None:
    """Apply the migrations that are missing."""
    command.upgrade(config(), revision)


def downgrade(revision: str = "base") -> None:
    """Take migrations back."""
    command.downgrade(config(), revision)


def current() -> bool:
    """Tell whether every migration is applied."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    with reachable(), engine().connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head
