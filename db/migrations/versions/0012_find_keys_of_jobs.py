"""Find idempotency keys by their job or flow: whoever deletes one looks for them."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for who is at work, and holds up nobody
        for name in ("job_id", "flow_id"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS ix_idempotency_keys_{name}")  # of a try that was cut off
            op.create_index(
                f"ix_idempotency_keys_{name}", "idempotency_keys", [name],
                postgresql_where=sa.text(f"{name} IS NOT NULL"), postgresql_concurrently=True,
            )  # fmt: skip
        op.execute("SET lock_timeout = '2s'")


def downgrade() -> None:
    for name in ("job_id", "flow_id"):
        op.drop_index(f"ix_idempotency_keys_{name}", table_name="idempotency_keys")
