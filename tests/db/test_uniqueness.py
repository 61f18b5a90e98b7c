"""What may be there once only: the database itself refuses a second, whoever forgot to look."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from db.base import soon, transaction
from db.intake import IdempotencyKey
from db.models import Model
from db.suspicions import Suspicion
from db.traces import Attempt
from tests.db import rows

pytestmark = pytest.mark.usefixtures("tables")

#: For each table: what a row says beside the ids, which are all that its two rows share.
ONCE: list[tuple[type, str, dict[str, Any]]] = [
    (Attempt, "uq_attempts_job_id_n", {"n": 1, "ended_at": soon(0)}),
    (IdempotencyKey, "pk_idempotency_keys", {"route": "mask", "key": "a key", "fingerprint": "f"}),
    (Model, "uq_models_job_id", {"name": "Shoe", "trigger_word": "TOK"}),
    (Suspicion, "uq_suspicions_attempt_id_what", {"attempt_id": uuid4(), "what": "late_outcome"}),
]


@pytest.fixture
def job_id() -> UUID:
    return rows.accept()


@pytest.mark.parametrize(("table", "name", "values"), ONCE, ids=[name for _, name, _ in ONCE])
def test_a_second_one_is_refused(job_id: UUID, table: type, name: str, values: dict[str, Any]) -> None:
    def add() -> None:
        own_id = {"id": uuid4()} if table is Attempt else {}
        with transaction() as session:
            session.execute(insert(table).values({**values, **own_id, "job_id": job_id}))

    add()
    with pytest.raises(IntegrityError, match=name):
        add()
