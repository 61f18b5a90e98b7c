"""Remember what attempts cost and how long jobs stood in queues; count what the workers have to do."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: What the workers of a queue have to do, also what they are at: by this their number follows.
#: Main: messages that wait or are about to be sent, and ended jobs whose canvas has not been carried on.
BACKLOG = """
CREATE VIEW backlog AS
SELECT 'main' AS queue, count(*) AS jobs
  FROM jobs
 WHERE due_at IS NOT NULL
   AND (ended_at IS NOT NULL
        OR status = 'pending' AND stage = 'queued'
        OR status = 'pending' AND stage <> 'waiting_for_upstream' AND due_at <= statement_timestamp())
UNION ALL
SELECT 'gpu', count(*) FROM attempts WHERE ended_at IS NULL AND endpoint IS NULL
"""


def upgrade() -> None:
    # Jobs first, as everybody else locks them: the house goes on meanwhile.
    op.add_column("jobs", sa.Column("queue_seconds", sa.Float(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("cost_usd", sa.Float(), server_default="0", nullable=True))
    op.add_column("attempts", sa.Column("gpu", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("cost_usd", sa.Float(), nullable=True))
    op.execute(BACKLOG)


def downgrade() -> None:
    op.execute("DROP VIEW backlog")
    for table, name in (("jobs", "cost_usd"), ("jobs", "queue_seconds"), ("attempts", "cost_usd"), ("attempts", "gpu")):
        op.drop_column(table, name)
