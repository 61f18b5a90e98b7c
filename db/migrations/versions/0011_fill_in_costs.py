"""Fill in what older jobs cost, and find jobs by their ends: a little at a time, as the house goes on."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: Jobs that are looked at in one transaction: few enough that nobody waits for their locks.
BATCH = 1000

#: What they cost at a price that nobody had told is not known.
FILL = sa.text("""
UPDATE jobs SET cost_usd = NULL
 WHERE id > :after AND id <= :last AND gpu_seconds > 0 AND cost_usd = 0
   AND NOT EXISTS (SELECT FROM attempts WHERE job_id = jobs.id AND attempts.cost_usd IS NOT NULL)
""")

NEXT = sa.text("SELECT id FROM jobs WHERE id > :after ORDER BY id LIMIT :batch")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        fill()
        op.execute("SET lock_timeout = 0")  # it waits for who is at work, and holds up nobody
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_jobs_ended_at")  # of a try that was cut off
        op.create_index(
            "ix_jobs_ended_at", "jobs", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"),
            postgresql_concurrently=True,
        )  # fmt: skip
        op.execute("SET lock_timeout = '2s'")


def fill() -> None:
    """Go through all jobs; whoever is cut off begins again, and changes nothing twice."""
    after = UUID(int=0)
    while ids := op.get_bind().scalars(NEXT, {"after": after, "batch": BATCH}).all():
        op.get_bind().execute(FILL, {"after": after, "last": ids[-1]})
        after = ids[-1]


def downgrade() -> None:
    op.drop_index("ix_jobs_ended_at", table_name="jobs", postgresql_where=sa.text("ended_at IS NOT NULL"))
