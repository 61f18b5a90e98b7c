"""Run the migrations; Alembic imports this."""

from time import sleep

from alembic import context
from sqlalchemy import Connection

from db import api_keys, intake, jobs, models, receivers, suspicions, templates, watchers
from db.base import Base, engine

# Naming the modules is what puts their tables into the metadata.
TABLES = (api_keys, intake, jobs, models, receivers, suspicions, templates, watchers)

#: Seconds after which a deployment asks again whether it is its turn.
ASK_S = 0.2


def await_turn(connection: Connection) -> None:
    """Let two deployments at once take turns, however long the first takes.

    Whoever waits asks again and again, and does not stand in a lock's queue: an index that is built while the house
    goes on waits for each statement that began before, so the two would wait for each other.
    """
    while not connection.exec_driver_sql("SELECT pg_try_advisory_lock(hashtext('packshot:migrate'))").scalar():
        connection.rollback()
        sleep(ASK_S)
    connection.commit()


with engine().connect() as connection:
    await_turn(connection)
    connection.exec_driver_sql("SET statement_timeout = 0")
    # Whoever waits for a table's lock holds up all who come after: it is better to give way, and to try again.
    connection.exec_driver_sql("SET lock_timeout = '2s'")
    connection.commit()
    # Each by itself: the locks of one are not held while the next ones work.
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.exec_driver_sql("SELECT pg_advisory_unlock(hashtext('packshot:migrate'))")
    connection.exec_driver_sql("RESET statement_timeout")
    connection.exec_driver_sql("RESET lock_timeout")
    connection.commit()
