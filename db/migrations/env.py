"""Run the migrations; Alembic imports this."""

from alembic import context

from db import api_keys, intake, jobs, models, receivers, suspicions, templates, watchers
from db.base import Base, engine

# Naming the modules is what puts their tables into the metadata.
TABLES = (api_keys, intake, jobs, models, receivers, suspicions, templates, watchers)

with engine().connect() as connection:
    # Two deployments at once take turns.
    connection.exec_driver_sql("SELECT pg_advisory_lock(hashtext('packshot:migrate'))")
    connection.exec_driver_sql("SET statement_timeout = 0")
    # Whoever waits for a table's lock holds up all who come after: it is better to give way, and to try again.
    connection.exec_driver_sql("SET lock_timeout = '2s'")
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
    connection.exec_driver_sql("SELECT pg_advisory_unlock(hashtext('packshot:migrate'))")
    connection.exec_driver_sql("RESET statement_timeout")
    connection.exec_driver_sql("RESET lock_timeout")
    connection.commit()
