"""The start of `make upgrade`: which version it is from, and its code; the whole of it is run by hand."""

from pathlib import Path

import pytest

from benchmarks import upgrade
from tests.deploy.compose import ROOT

#: As Celery finds its settings: where somebody stands comes first.
BY_CELERY = "from celery.utils.imports import import_from_cwd; found = import_from_cwd('celeryconfig')"


def test_without_a_tag_it_asks_for_a_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FROM", raising=False)
    monkeypatch.setattr(upgrade, "ROOT", tmp_path)  # no repository, so no tag
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SystemExit, match="There is no tag yet: name a commit"):
        upgrade.choose()
    monkeypatch.setenv("FROM", "v0.1.0")
    assert upgrade.choose() == "v0.1.0"


def test_the_code_of_a_version_runs_from_its_own_folder(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    older = tmp_path / "older"
    upgrade.unpack("HEAD", older)
    said = upgrade.run(upgrade.code(older), f"import outage; {BY_CELERY}; print(outage.__file__, found.__file__)")
    assert said.split() == [str(older / "outage.py"), str(older / "celeryconfig.py")]
    with pytest.raises(SystemExit, match="There is no no-such-version"):
        upgrade.unpack("no-such-version", tmp_path / "none")
