"""`make fuzz`: 10,000 requests and more, in all phases; prints its figures, and fails if anything was found."""

import os
import tempfile
from pathlib import Path

from db import api_keys, schema
from tests.conftest import Processes, named, serving
from tests.fuzz import fuzz

#: The fewest requests that prove something.
FEWEST = 10_000

PHASES = "examples,coverage,fuzzing,stateful"


def main() -> None:
    """Fuzz, and tell."""
    examples, seed = int(os.environ.get("EXAMPLES") or 250), int(os.environ.get("SEED") or 1)
    with serving() as servers, named(servers), tempfile.TemporaryDirectory(prefix="packshot-fuzz-") as folder:
        schema.upgrade()
        processes = Processes(Path(folder))
        try:
            watcher = processes.start("packshot", "watch")  # without one, the house is not ready
            watcher.wait_for(lambda: "watching as" in watcher.said())
            key = api_keys.create("fuzz", ["admin"])
            figures = fuzz.fuzz(processes, Path(folder), key, examples=examples, phases=PHASES, seed=seed)
        finally:
            processes.end()
    fuzz.write(figures, Path("var/fuzz/latest.json"))
    print(f"{figures.requests:,} requests in {figures.seconds:g} s, by status: {figures.statuses}")
    print(f"answers of 500 and more: {len(figures.broken)}, undocumented: {len(figures.undocumented)}, "
          f"over {fuzz.LONGEST_S:g} s: {len(figures.slow)}, slowest {figures.slowest_s:g} s")  # fmt: skip
    print("written to var/fuzz/latest.json")
    if not figures.clean or figures.requests < FEWEST:
        raise SystemExit(f"{figures.fuzzer[-6000:]}\nFuzzing has found something, or asked too little: see above.")


if __name__ == "__main__":
    main()
