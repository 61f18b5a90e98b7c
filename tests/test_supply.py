"""What we are built of is what we have chosen: each package by its hash, each action by its commit."""

import re
from pathlib import Path

import pytest

from scripts import audit, sbom
from settings import VERSION
from tests.test_house import ROOT

LOCKS = sorted(ROOT.glob("*.lock"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_package_of_a_lock_has_its_version_and_its_hashes(lock: Path) -> None:
    blocks = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_a_bill_of_materials_has_each_package_with_its_version_and_its_hashes(tmp_path: Path) -> None:
    lock = ROOT / "requirements-server.lock"
    bill = sbom.write(lock, tmp_path / "bill.json", "--no-validate")  # `make sbom` takes the time for that
    assert sbom.read_bill(bill) == sbom.read_lock(lock)
    assert len(sbom.read_lock(lock)) > 20
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == ("packshot", VERSION)
    forged = tmp_path / "forged.lock"
    forged.write_text(lock.read_text().replace("--hash=sha256:0", "--hash=sha256:1", 1))
    assert sbom.read_bill(bill) != sbom.read_lock(forged)


def test_images_install_by_hashes_alone() -> None:
    images = [path for path in ROOT.rglob("*Dockerfile*") if ".venv" not in path.parts]
    assert images
    for image in images:
        installs = [line for line in image.read_text().splitlines() if re.search(r"/opt/packshot/\S*pip install", line)]
        assert all("--require-hashes" in line for line in installs), image


def test_each_action_is_named_by_its_commit() -> None:
    used = [
        line for path in (ROOT / ".github").rglob("*.yml") for line in path.read_text().splitlines() if "uses:" in line
    ]
    assert used
    for line in used:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d", line), line


def test_what_could_not_be_looked_up_is_not_called_clean() -> None:
    assert audit.verdict(0, "") == "no known weakness"
    assert audit.verdict(1, "ERROR: Dependency not found, could not be audited").startswith("not checked")
    assert audit.verdict(1, "") == "not checked (it says nothing)"
    assert (
        audit.verdict(1, "Found 2 known vulnerabilities in 1 package") == "Found 2 known vulnerabilities in 1 package"
    )


def test_where_one_source_cannot_tell_the_other_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(
        '#!/bin/sh\n[ "$2" = osv ] && echo "Found 1 known vulnerability" || echo "could not be audited"\nexit 1\n'
    )
    program.chmod(0o700)
    monkeypatch.setattr(audit, "BIN", tmp_path)
    assert not audit.weigh(ROOT / "requirements.lock")
    monkeypatch.setattr(audit, "SOURCES", ("pypi",))
    assert audit.weigh(ROOT / "requirements.lock")


def test_what_ci_runs_is_clean() -> None:
    assert audit.look("zizmor", audit.LOOKS["zizmor"])


def test_a_weakness_is_seen(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import subprocess\nsubprocess.run(input(), shell=True)\nexec(input())\n")
    assert not audit.look("bandit", ("bandit", "-q", "-ll", "-r", str(tmp_path)))
    (tmp_path / "bad.yml").write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: actions/checkout@v4\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )
    assert not audit.look("zizmor", ("zizmor", "--offline", "-q", str(tmp_path / "bad.yml")))
