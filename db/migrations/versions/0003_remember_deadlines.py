"""Remember what callers say of time, what was swept, and what may have been paid twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: A view keeps the columns of the day it was made.
GENERATION_JOBS = "CREATE VIEW generation_jobs AS SELECT * FROM jobs WHERE tool = 'generate'"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("start_within_s", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("timeout_s", sa.Integer(), nullable=True))
    op.execute("DROP VIEW generation_jobs")
    op.execute(GENERATION_JOBS)


def downgrade() -> None:
    op.execute("DROP VIEW generation_jobs")
    for name in ("timeout_s", "start_within_s"):
        op.drop_column("jobs", name)
    op.execute(GENERATION_JOBS)
