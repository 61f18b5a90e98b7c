"""Make the tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


#: Whoever writes an event wakes those who wait for its job; nobody waits for one that was only just accepted.
TELL = """
CREATE FUNCTION tell_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('packshot_jobs', NEW.job_id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_event AFTER INSERT ON events
FOR EACH ROW WHEN (NEW.name <> 'accepted') EXECUTE FUNCTION tell_event();
"""

#: The jobs of generate under the name that its users know.
GENERATION_JOBS = "CREATE VIEW generation_jobs AS SELECT * FROM jobs WHERE tool = 'generate'"


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("stage", sa.Text(), server_default="queued", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("root_id", sa.Uuid(), nullable=False),
        sa.Column("upstream", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("members", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("drawn", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("given", sa.JSON(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=True),
        sa.Column("found", sa.JSON(), nullable=True),
        sa.Column("progress", sa.Float(), server_default="0", nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("signature", sa.JSON(), nullable=True),
        sa.Column("sends", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("start_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"], unique=False)
    op.create_index("ix_jobs_due_at", "jobs", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index(
        "ix_jobs_in_flight", "jobs", ["tool"], unique=False, postgresql_where=sa.text("status = 'processing'")
    )
    op.create_index(
        "ix_jobs_members",
        "jobs",
        ["members"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("cardinality(members) > 0"),
    )
    op.create_index(
        "ix_jobs_throttled",
        "jobs",
        ["tool", "priority", "created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending' AND stage = 'throttled'"),
    )
    op.create_index(
        "ix_jobs_upstream",
        "jobs",
        ["upstream"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("cardinality(upstream) > 0"),
    )
    op.create_table(
        "templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("image_r2_path", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_templates")),
    )
    op.create_table(
        "watchers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watchers")),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("sends", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index("uq_attempts_job_id_n", "attempts", ["job_id", "n"], unique=True)
    op.create_index(
        "uq_attempts_live", "attempts", ["job_id"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_job_id_id", "events", ["job_id", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("trigger_word", sa.Text(), nullable=False),
        sa.Column("model_string", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_models_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("job_id", name=op.f("uq_models_job_id")),
    )
    op.execute(TELL)
    op.execute(GENERATION_JOBS)


def downgrade() -> None:
    op.execute("DROP VIEW generation_jobs")
    op.execute("DROP TRIGGER tell_event ON events")
    op.execute("DROP FUNCTION tell_event")
    op.drop_table("models")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_events_job_id_id", table_name="events")
    op.drop_table("events")
    op.drop_index("uq_attempts_live", table_name="attempts", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("uq_attempts_job_id_n", table_name="attempts")
    op.drop_table("attempts")
    op.drop_table("watchers")
    op.drop_table("templates")
    op.drop_index(
        "ix_jobs_upstream",
        table_name="jobs",
        postgresql_using="gin",
        postgresql_where=sa.text("cardinality(upstream) > 0"),
    )
    op.drop_index(
        "ix_jobs_throttled", table_name="jobs", postgresql_where=sa.text("status = 'pending' AND stage = 'throttled'")
    )
    op.drop_index(
        "ix_jobs_members",
        table_name="jobs",
        postgresql_using="gin",
        postgresql_where=sa.text("cardinality(members) > 0"),
    )
    op.drop_index("ix_jobs_in_flight", table_name="jobs", postgresql_where=sa.text("status = 'processing'"))
    op.drop_index("ix_jobs_due_at", table_name="jobs", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_index("ix_jobs_created_at_id", table_name="jobs")
    op.drop_table("jobs")
