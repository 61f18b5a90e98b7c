"""Number deliveries, so that a receiver can tell which of two happened first."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Those that are there have no number: to give them one would write the whole table anew while all wait for it.
    op.add_column("deliveries", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.execute("CREATE SEQUENCE deliveries_seq OWNED BY deliveries.seq")
    op.alter_column("deliveries", "seq", server_default=sa.text("nextval('deliveries_seq'::regclass)"))


def downgrade() -> None:
    op.drop_column("deliveries", "seq")
