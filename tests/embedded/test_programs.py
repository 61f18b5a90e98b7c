"""What the house starts."""

from pathlib import Path

import pytest

from embedded.house import lived_in
from embedded.ports import Wishes
from embedded.programs import programs


@pytest.mark.parametrize(("engine", "one"), [("gpu", True), ("preview", False), ("", False)])
def test_a_gpu_does_one_job_at_a_time_and_the_preview_uses_all_cores(tmp_path: Path, engine: str, *, one: bool) -> None:
    with lived_in(tmp_path / "data", Wishes()) as house:
        (worker,) = [child for child in programs(house, {"ENGINE": engine}) if child.name == "gpu"]
    assert ("-c" in worker.command) is one
    assert any(part.startswith("--autoscale") for part in worker.command) is not one
