"""Twenty jobs, four kills: that all of it works together, and holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.town import ROOT

#: With it PostgreSQL, RunPod, a main worker and a watcher are killed, Valkey is flushed, and RunPod forgets a job.
SEED = 133


def test_a_small_run_holds_and_says_so_in_one_line(tmp_path: Path) -> None:
    env = {**os.environ, "JOBS": "20", "KILLS": "4", "SEED": str(SEED), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    kept = tmp_path / "var" / "chaos"
    summary = json.loads((kept / f"{SEED}.json").read_text())
    assert summary["violations"] == []
    assert done.stdout.startswith(f"ok: seed {SEED} · 20 jobs · 4 kills ("), done.stdout + done.stderr
    assert done.returncode == 0
    assert {path.name for path in (kept / str(SEED)).iterdir()} >= {"history.jsonl", "diary.jsonl", "main1.log"}
