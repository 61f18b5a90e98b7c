"""What a failed statement means to whoever asked for it."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from db.base import transaction

pytestmark = pytest.mark.usefixtures("bare")


def test_a_wrong_statement_stays_the_error_that_it_is_and_never_becomes_its_own_cause() -> None:
    with pytest.raises(ProgrammingError) as caught, transaction() as session:
        session.execute(text("SELECT nothing"))
    assert caught.value.__cause__ is not caught.value
