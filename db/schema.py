"""Bring the database's schema to what the code expects."""

import logging
from pathlib import Path
from time import sleep

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from db.base import engine, reachable, told

logger = logging.getLogger(__name__)

#: What PostgreSQL says when a migration and the house, which goes on, waited for each other.
IN_THE_WAY = {"40P01", "55P03"}

#: Seconds between the tries of a migration to which that happened.
PAUSES_S = (0.5, 1, 2, 4, 8, 15)


def config() -> Config:
    """Configure Alembic without a file of its own."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return made


def upgrade(revision: str = "head") -> None:
    """Apply the migrations that are missing, one after the other; the house may go on meanwhile."""
    for pause_s in PAUSES_S:
        try:
            return command.upgrade(config(), revision)
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) not in IN_THE_WAY:
                raise told(error) from error
            logger.warning("the migration stood in the way of the house, and is tried again: %s", error.orig)
            engine().dispose()  # with it goes the lock that keeps other deployments out
            sleep(pause_s)
    return command.upgrade(config(), revision)


def downgrade(revision: str = "base") -> None:
    """Take migrations back."""
    command.downgrade(config(), revision)


def current() -> bool:
    """Tell whether every migration of ours is applied.

    A revision that we do not know is a newer version's: what it adds is none of our business, and whoever upgrades
    migrates first, then replaces one program after the other.
    """
    ours = ScriptDirectory.from_config(config())
    with reachable(), engine().connect() as connection:
        applied = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ours.walk_revisions()}
    return applied is not None and (applied == ours.get_current_head() or applied not in known)
