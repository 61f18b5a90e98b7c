"""Remember what RunPod does for us, what it costs, and what must be stopped there."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: A view keeps the columns of the day it was made.
GENERATION_JOBS = "CREATE VIEW generation_jobs AS SELECT * FROM jobs WHERE tool = 'generate'"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gpu_seconds", sa.Float(), server_default="0", nullable=False))
    op.add_column("attempts", sa.Column("endpoint", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("delay_ms", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("execution_ms", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("stop_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_attempts_stop_at", "attempts", ["stop_at"], postgresql_where=sa.text("stop_at IS NOT NULL"))
    op.execute("DROP VIEW generation_jobs")
    op.execute(GENERATION_JOBS)


def downgrade() -> None:
    op.execute("DROP VIEW generation_jobs")
    op.drop_index("ix_attempts_stop_at", table_name="attempts")
    for name in ("stop_at", "execution_ms", "delay_ms", "endpoint"):
        op.drop_column("attempts", name)
    op.drop_column("jobs", "gpu_seconds")
    op.execute(GENERATION_JOBS)
