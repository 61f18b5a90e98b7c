"""Tell a receiver nothing while it is being deleted: no end of a job may wait for it, or fail by it."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TELL = """
CREATE OR REPLACE FUNCTION tell_receivers(told text, of_job uuid, of_flow uuid, in_flow uuid) RETURNS void
LANGUAGE plpgsql AS $$
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
        SELECT one.id AS receiver_id, one.url, one.host
        FROM (SELECT id, url, host FROM receivers WHERE enabled AND told = ANY(events) {lock}) one
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
"""

#: The foreign key takes this lock anyway, but waits for it, and fails once the row has gone.
LOCK = "FOR KEY SHARE SKIP LOCKED"


def upgrade() -> None:
    op.execute(TELL.format(lock=LOCK))


def downgrade() -> None:
    op.execute(TELL.format(lock=""))
