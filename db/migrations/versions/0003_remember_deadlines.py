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
    op.add_column("attempts", sa.Column("sweep_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE attempts SET sweep_at = ended_at + interval '8 days' WHERE ended_at IS NOT NULL")
    op.create_index("ix_attempts_sweep_at", "attempts", ["sweep_at"], postgresql_where=sa.text("sweep_at IS NOT NULL"))
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "suspicions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspicions")),
    )
    op.create_index("uq_suspicions_attempt_id_what", "suspicions", ["attempt_id", "what"], unique=True)


def downgrade() -> None:
    op.drop_table("suspicions")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_index("ix_attempts_sweep_at", table_name="attempts", postgresql_where=sa.text("sweep_at IS NOT NULL"))
    op.drop_column("attempts", "sweep_at")
    op.execute("DROP VIEW generation_jobs")
    for name in ("timeout_s", "start_within_s"):
        op.drop_column("jobs", name)
    op.execute(GENERATION_JOBS)
