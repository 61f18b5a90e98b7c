"""What the preview engine costs on one core: seconds of each tool, and the memory of a process that does them all."""

import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.report import Figure
from tests.handlers.workbench import PHOTOS, Bench

#: Runs of each tool; the median counts, the first one warms up.
RUNS = 4
SHELF = "r2://packshot/uploads/"

REACH = {"train": "<= 8", "generate": "<= 1.5", "mask": "<= 1.5", "inpaint": "<= 1.5", "video": "<= 2.5"}
ASKED: dict[str, dict[str, Any]] = {
    "train": {"images": f"{SHELF}photos.zip", "model_name": "Bag", "trigger_word": "TOK_BAG"},
    "generate": {"model_id": 1, "prompt": "TOK_BAG on a wooden table in a cafe", "seed": 1},
    "mask": {"image_url": f"{SHELF}generate.png", "object_name": "TOK_BAG", "seed": 1},
    "inpaint": {
        "scene_url": f"{SHELF}generate.png", "mask_url": f"{SHELF}mask.png", "reference_url": f"{SHELF}bag.png",
        "seed": 1,
    },
    "video": {"image_url": f"{SHELF}inpaint.png", "seed": 1},
}  # fmt: skip


def main() -> None:
    """Do each tool some times, each on what the one before has made."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.zip("photos.zip", *PHOTOS)
        bench.put("bag.png", PHOTOS[4])
        figures = [Figure(f"{tool}, processor seconds", measure(bench, tool), "s", REACH[tool]) for tool in ASKED]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures.append(Figure("peak memory of one process for all", peak, "MB", "<= 500"))
    print(report.table(figures))
    print(report.write("engine", figures))


def measure(bench: Bench, tool: str) -> float:
    """Give the median of the processor's seconds: what others do on this machine is not counted."""
    model = {"model_string": f"{SHELF}train.safetensors", "trigger_word": "TOK_BAG", "name": "Bag"}
    seconds = []
    for _ in range(RUNS):
        begun = time.process_time()
        done = bench.do(tool, ASKED[tool], {"model_id": model, "object_name": model})
        seconds.append(time.process_time() - begun)
    bench.put(f"{tool}{done.path.suffix}", done.path)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
