"""Let events tell of flows, so that who listens to one hears all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: Whoever writes an event wakes those who wait for its job, or for its flow; and those who listen to its whole flow.
TELL = """
CREATE OR REPLACE FUNCTION tell_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name <> 'accepted' THEN
        PERFORM pg_notify('packshot_jobs', coalesce(NEW.job_id, NEW.flow_id)::text);
    END IF;
    IF NEW.flow_id IS NOT NULL THEN
        PERFORM pg_notify('packshot_jobs', 'flow ' || NEW.flow_id);
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER tell_event AFTER INSERT ON events
FOR EACH ROW WHEN (NEW.name <> 'accepted' OR NEW.flow_id IS NOT NULL) EXECUTE FUNCTION tell_event();
"""

#: As it was before.
TELL_OF_JOBS = """
CREATE OR REPLACE FUNCTION tell_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('packshot_jobs', NEW.job_id::text);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER tell_event AFTER INSERT ON events
FOR EACH ROW WHEN (NEW.name <> 'accepted') EXECUTE FUNCTION tell_event();
"""


def upgrade() -> None:
    op.add_column("events", sa.Column("flow_id", sa.Uuid(), nullable=True))
    op.alter_column("events", "job_id", nullable=True)
    op.create_index(
        "ix_events_flow_id_id", "events", ["flow_id", "id"], postgresql_where=sa.text("flow_id IS NOT NULL")
    )
    op.execute(TELL)


def downgrade() -> None:
    op.execute(TELL_OF_JOBS)
    op.execute("DELETE FROM events WHERE job_id IS NULL")
    op.drop_index("ix_events_flow_id_id", table_name="events", postgresql_where=sa.text("flow_id IS NOT NULL"))
    op.alter_column("events", "job_id", nullable=False)
    op.drop_column("events", "flow_id")
