"""Remember flows: their steps, and which waits for which."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: A view keeps the columns of the day it was made.
GENERATION_JOBS = "CREATE VIEW generation_jobs AS SELECT * FROM jobs WHERE tool = 'generate'"


def upgrade() -> None:
    op.create_table(
        "flows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="flow", nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), server_default="processing", nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cancelled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("retry_of", sa.Uuid(), nullable=True),
        sa.Column("changes", sa.JSON(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flows")),
    )
    op.create_index("ix_flows_created_at_id", "flows", ["created_at", "id"])
    op.create_table(
        "steps",
        sa.Column("flow_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("blocked_by", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), server_default="0", nullable=False),
        sa.Column("missed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skips", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("many", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("spread", sa.Text(), nullable=True),
        sa.Column("jobs", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("kept", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["flow_id"], ["flows.id"], name=op.f("fk_steps_flow_id_flows"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("flow_id", "name", name=op.f("pk_steps")),
    )
    op.create_table(
        "edges",
        sa.Column("flow_id", sa.Uuid(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["flow_id"], ["flows.id"], name=op.f("fk_edges_flow_id_flows"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("flow_id", "before", "after", name=op.f("pk_edges")),
    )
    op.add_column("jobs", sa.Column("flow_id", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("step", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("retry_of", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("sources", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False))
    op.execute("UPDATE jobs SET sources = drawn WHERE cardinality(drawn) > 0")
    op.create_foreign_key(op.f("fk_jobs_flow_id_flows"), "jobs", "flows", ["flow_id"], ["id"], ondelete="SET NULL")
    op.create_index("ix_jobs_flow_id", "jobs", ["flow_id"], postgresql_where=sa.text("flow_id IS NOT NULL"))
    op.create_index(
        "ix_jobs_sources",
        "jobs",
        ["sources"],
        postgresql_using="gin",
        postgresql_where=sa.text("cardinality(sources) > 0"),
    )
    op.execute("DROP VIEW generation_jobs")
    op.execute(GENERATION_JOBS)
    op.alter_column("idempotency_keys", "job_id", nullable=True)
    op.add_column("idempotency_keys", sa.Column("flow_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_idempotency_keys_flow_id_flows"), "idempotency_keys", "flows", ["flow_id"], ["id"], ondelete="CASCADE"
    )


def downgrade() -> None:
    op.execute("DELETE FROM idempotency_keys WHERE job_id IS NULL")
    op.drop_column("idempotency_keys", "flow_id")
    op.alter_column("idempotency_keys", "job_id", nullable=False)
    op.execute("DROP VIEW generation_jobs")
    op.drop_index("ix_jobs_sources", table_name="jobs", postgresql_where=sa.text("cardinality(sources) > 0"))
    for name in ("sources", "retry_of", "step", "flow_id"):
        op.drop_column("jobs", name)
    op.execute(GENERATION_JOBS)
    op.drop_table("edges")
    op.drop_table("steps")
    op.drop_table("flows")
