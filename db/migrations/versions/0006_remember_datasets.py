"""Remember with each model what it was made of, and its card."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("dataset", sa.JSON(), nullable=True))
    op.add_column("models", sa.Column("card", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "card")
    op.drop_column("models", "dataset")
