"""Remember API keys, whose job is whose, and what each key has used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: Locks the key and then counts: each statement of a function sees what was committed before it began, so whoever
#: had to wait for the lock counts what the one before took.
USE_KEY = """
CREATE FUNCTION use_key(wanted uuid) RETURNS TABLE (
  valid boolean, jobs_in_flight integer, gpu_seconds_per_day double precision, money_per_month double precision,
  in_flight bigint, reserved_s double precision, day_s double precision, month_s double precision,
  day_left_s double precision, month_left_s double precision
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  held api_keys%ROWTYPE;
  day_from timestamp := date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC');
  month_from timestamp := date_trunc('month', day_from);
BEGIN
  SELECT * INTO held FROM api_keys WHERE id = wanted FOR NO KEY UPDATE;
  RETURN QUERY
  WITH out AS (
    SELECT count(*) AS jobs, coalesce(sum(greatest(coalesce(max_gpu_s, 0) - gpu_seconds, 0)), 0) AS reserved
    FROM jobs WHERE key_id = wanted AND status IN ('pending', 'processing')
  ), paid AS (
    SELECT coalesce(sum(seconds) FILTER (WHERE at >= day_from AT TIME ZONE 'UTC'), 0) AS day,
      coalesce(sum(seconds), 0) AS month
    FROM charges WHERE key_id = wanted AND at >= month_from AT TIME ZONE 'UTC'
  )
  SELECT held.revoked_at IS NULL AND (held.expires_at IS NULL OR held.expires_at > clock_timestamp()),
    held.jobs_in_flight, held.gpu_seconds_per_day, held.money_per_month,
    out.jobs, out.reserved::double precision, paid.day, paid.month,
    extract(epoch FROM (day_from + interval '1 day') AT TIME ZONE 'UTC' - clock_timestamp())::double precision,
    extract(epoch FROM (month_from + interval '1 month') AT TIME ZONE 'UTC' - clock_timestamp())::double precision
  FROM out, paid;
END $$
"""

CHARGE_KEY = """
CREATE FUNCTION charge_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO charges (key_id, seconds) VALUES (NEW.key_id, NEW.gpu_seconds - OLD.gpu_seconds);
  RETURN NULL;
END $$
"""

TRIGGER = """
CREATE TRIGGER charge_key AFTER UPDATE OF gpu_seconds ON jobs FOR EACH ROW
WHEN (NEW.key_id IS NOT NULL AND NEW.gpu_seconds IS DISTINCT FROM OLD.gpu_seconds) EXECUTE FUNCTION charge_key()
"""


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("jobs_in_flight", sa.Integer(), nullable=True),
        sa.Column("gpu_seconds_per_day", sa.Double(), nullable=True),
        sa.Column("money_per_month", sa.Double(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_table(
        "charges",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_charges_key_id_api_keys")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charges")),
    )
    op.create_index("ix_charges_key_id_at", "charges", ["key_id", "at"], postgresql_include=["seconds"])
    for table in ("jobs", "flows"):
        op.add_column(table, sa.Column("key_id", sa.Uuid(), nullable=True))
        op.add_column(table, sa.Column("max_gpu_s", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("request_id", sa.Text(), nullable=True))
        op.create_foreign_key(op.f(f"fk_{table}_key_id_api_keys"), table, "api_keys", ["key_id"], ["id"])
    op.create_index(
        "ix_jobs_key_id",
        "jobs",
        ["key_id"],
        postgresql_where=sa.text("status IN ('pending', 'processing') AND key_id IS NOT NULL"),
    )
    for statement in (USE_KEY, CHARGE_KEY, TRIGGER):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER charge_key ON jobs")
    for function in ("charge_key()", "use_key(uuid)"):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_jobs_key_id", table_name="jobs")
    for table in ("jobs", "flows"):
        for name in ("request_id", "max_gpu_s", "key_id"):
            op.drop_column(table, name)
    op.drop_table("charges")
    op.drop_table("api_keys")
