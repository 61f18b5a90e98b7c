"""Remember who hears of what happens, and what each was told."""

import base64
import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: The receiver whose secret signs what the callbacks of requests are told.
DEFAULT = "00000000-0000-0000-0000-000000000000"

#: Whoever ends a job or a flow writes, in the same transaction, what each receiver is to be told of it: as a trigger,
#: so that no way of ending one can forget it. Of progress, a receiver hears at most every five seconds.
TELL = """
CREATE FUNCTION tell_receivers(told text, of_job uuid, of_flow uuid, in_flow uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Mostly nobody listens, and to find that out costs a tenth of an insert that comes to nothing.
    IF NOT EXISTS (
        SELECT FROM receivers WHERE enabled AND told = ANY(events)
        UNION ALL SELECT FROM callbacks WHERE job_id = of_job
        UNION ALL SELECT FROM callbacks WHERE flow_id = in_flow
    ) THEN
        RETURN;
    END IF;
    INSERT INTO deliveries (id, receiver_id, url, host, type, job_id, flow_id, due_at)
    SELECT gen_random_uuid(), heard.receiver_id, heard.url, heard.host, told, of_job, of_flow, clock_timestamp()
    FROM (
        SELECT id AS receiver_id, url, host FROM receivers WHERE enabled AND told = ANY(events)
        UNION ALL
        SELECT '00000000-0000-0000-0000-000000000000'::uuid, url, host FROM callbacks
        WHERE job_id = of_job AND told = ANY(events)
        UNION ALL
        SELECT '00000000-0000-0000-0000-000000000000'::uuid, url, host FROM callbacks
        WHERE flow_id = in_flow AND told = ANY(events)
    ) heard
    WHERE told <> 'job.progress' OR NOT EXISTS (
        SELECT FROM deliveries known WHERE known.job_id = of_job AND known.url = heard.url
        AND known.receiver_id = heard.receiver_id AND known.type = told
        AND known.created_at > clock_timestamp() - interval '5 seconds'
    );
    IF FOUND THEN
        PERFORM pg_notify('packshot_due', '');
    END IF;
END $$;
CREATE FUNCTION tell_of_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_receivers('job.' || NEW.status, NEW.id, NULL, NEW.flow_id);
    RETURN NULL;
END $$;
CREATE FUNCTION tell_of_progress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_receivers('job.progress', NEW.id, NULL, NEW.flow_id);
    RETURN NULL;
END $$;
CREATE FUNCTION tell_of_flow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_receivers(NEW.kind || '.' || NEW.status, NULL, NEW.id, NEW.id);
    RETURN NULL;
END $$;
CREATE FUNCTION tell_of_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_receivers('model.ready', NEW.job_id, NULL, (SELECT flow_id FROM jobs WHERE id = NEW.job_id));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_of_end AFTER UPDATE OF status ON jobs FOR EACH ROW
    WHEN (NEW.status IN ('completed', 'failed', 'cancelled', 'expired') AND OLD.status <> NEW.status)
    EXECUTE FUNCTION tell_of_job();
CREATE TRIGGER tell_of_stillbirth AFTER INSERT ON jobs FOR EACH ROW
    WHEN (NEW.status IN ('completed', 'failed', 'cancelled', 'expired')) EXECUTE FUNCTION tell_of_job();
CREATE TRIGGER tell_of_progress AFTER UPDATE OF progress ON jobs FOR EACH ROW
    WHEN (NEW.status = 'processing' AND NEW.progress > OLD.progress) EXECUTE FUNCTION tell_of_progress();
CREATE TRIGGER tell_of_end AFTER UPDATE OF status ON flows FOR EACH ROW
    WHEN (NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL) EXECUTE FUNCTION tell_of_flow();
CREATE TRIGGER tell_of_model AFTER UPDATE OF model_string ON models FOR EACH ROW
    WHEN (NEW.model_string IS NOT NULL AND OLD.model_string IS NULL) EXECUTE FUNCTION tell_of_model();
"""

TRIGGERS = {
    "tell_of_end": ("jobs", "flows"), "tell_of_stillbirth": ("jobs",), "tell_of_progress": ("jobs",),
    "tell_of_model": ("models",),
}  # fmt: skip

FUNCTIONS = ("tell_of_job()", "tell_of_progress()", "tell_of_flow()", "tell_of_model()",
             "tell_receivers(text, uuid, uuid, uuid)")  # fmt: skip


def upgrade() -> None:
    receivers = op.create_table(
        "receivers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        sa.Column("old_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_why", sa.Text(), nullable=True),
        created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receivers")),
    )
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    default = {"id": DEFAULT, "url": "", "host": "", "events": [], "secret": secret}
    op.bulk_insert(receivers, [default])
    op.create_table(
        "callbacks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("flow_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        *belonging("callbacks"),
    )
    for name in ("job_id", "flow_id"):
        op.create_index(f"ix_callbacks_{name}", "callbacks", [name], postgresql_where=sa.text(f"{name} IS NOT NULL"))
    make_deliveries()
    op.execute(TELL)


def make_deliveries() -> None:
    """Make the table of what is on its way."""
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("receiver_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("flow_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("log", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.ForeignKeyConstraint(
            ["receiver_id"], ["receivers.id"], name=op.f("fk_deliveries_receiver_id_receivers"), ondelete="CASCADE"
        ),
        *belonging("deliveries"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_deliveries_host_due_at", "deliveries", ["host", "due_at"], postgresql_where=due)
    op.create_index("ix_deliveries_receiver_id", "deliveries", ["receiver_id", "created_at", "id"])
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])
    for name in ("job_id", "flow_id"):
        op.create_index(f"ix_deliveries_{name}", "deliveries", [name], postgresql_where=sa.text(f"{name} IS NOT NULL"))


def created_at() -> "sa.Column[object]":
    """Say since when a row is there."""
    now = sa.text("clock_timestamp()")
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False)


def belonging(table: str) -> list[sa.ForeignKeyConstraint]:
    """Let a row go with its job or its flow."""
    return [
        sa.ForeignKeyConstraint([f"{one}_id"], [f"{one}s.id"], name=f"fk_{table}_{one}_id_{one}s", ondelete="CASCADE")
        for one in ("job", "flow")
    ]


def downgrade() -> None:
    for name, tables in TRIGGERS.items():
        for table in tables:
            op.execute(f"DROP TRIGGER {name} ON {table}")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}")
    for table in ("deliveries", "callbacks", "receivers"):
        op.drop_table(table)
