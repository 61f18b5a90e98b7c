"""A little of `make fuzz`, and that its witness sees what must not be."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db import api_keys
from db.base import transaction
from tests.conftest import Processes
from tests.fuzz import fuzz

DOCUMENT: dict[str, Any] = {
    "paths": {"/api/jobs/{job_id}": {"get": {"responses": {"200": {}, "404": {}, "default": {}}}}}
}


@pytest.mark.parametrize(("line", "found"), [
    ("GET /api/jobs/<job_id> 200 0.01", ""), ("GET /api/jobs/<job_id> 404 4.9", ""), ("PATCH - 405 0.1", ""),
    ("GET /api/jobs/<job_id> 500 0.01", "broken"), ("GET /api/jobs/<job_id> 503 0.01", "broken"),
    ("GET /api/jobs/<job_id> 418 0.01", "undocumented"), ("GET /api/jobs/<job_id> 200 5.01", "slow"),
])  # fmt: skip
def test_the_witness_sees_what_must_not_be(tmp_path: Path, line: str, found: str) -> None:
    (tmp_path / "ledger").write_text(f"{line}\nGET /api/jobs/<job_id> 200 0.02\n")
    figures = fuzz.judge(tmp_path / "ledger", DOCUMENT)
    assert figures.requests == 2
    assert figures.clean is (found == "")
    assert [name for name in ("broken", "undocumented", "slow") if getattr(figures, name)][:1] == [found][: bool(found)]


def test_nothing_asked_proves_nothing() -> None:
    assert not fuzz.Figures().clean
    assert not fuzz.Figures(requests=5, fuzzer_exit=1).clean


def test_strange_questions_get_documented_answers(database: str, s3: object, processes: Processes) -> None:  # noqa: ARG001 - they must run
    key = api_keys.create("fuzz", ["admin"])
    figures = fuzz.fuzz(processes, processes.folder, key, examples=1, phases="fuzzing", seed=7, only=r"^/api/")
    with transaction() as session:
        session.execute(text("TRUNCATE jobs, models, flows CASCADE"))
    assert figures.clean, figures
    assert figures.requests > 50
