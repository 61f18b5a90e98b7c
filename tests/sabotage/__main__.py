"""Remove each guard of the house in turn, in a copy of the tree, and see the suite go red for it: `make sabotage`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from tests.conftest import LENT, serving
from tests.sabotage.guards import Guard, Tree, copied, read
from tests.sabotage.witness import WITNESS

#: Seconds that the tests of one guard may take, and that all together may.
ONE_S, ALL_S = 240, 900

JSON = Path("var/sabotage/latest.json")


@dataclass(frozen=True)
class Verdict:
    """What became of the tests of a guard."""

    guard: str
    #: `red`: a test of its own saw that the guard is gone. Anything else is what we must not see.
    seen: str
    by: str
    seconds: float


def main() -> None:
    """Break the house in every way that is known, one at a time."""
    wanted = [guard for guard in read() if os.environ.get("GUARD", "") in guard.name]
    if not wanted:
        raise SystemExit("No guard bears that name: see tests/sabotage/guards.toml.")
    with serving() as servers, copied(servers) as tree:
        seen, by, seconds = run(tree, sorted({test for guard in wanted for test in guard.tests}), ALL_S)
        if seen != "green":
            raise SystemExit(f"The tests are {seen} although every guard is in its place: {by}")
        print(f"{seconds:6.1f} s  green  with every guard in its place", flush=True)
        verdicts = [judge(tree, guard) for guard in wanted]
    tell(verdicts)


def judge(tree: Tree, guard: Guard) -> Verdict:
    """Remove one guard, and see what its tests say."""
    with guard.removed(tree.root):
        verdict = Verdict(guard.name, *run(tree, guard.tests, ONE_S, "-x"))
    print(f"{verdict.seconds:6.1f} s  {verdict.seen:<5}  {verdict.guard}: {verdict.by}", flush=True)
    return verdict


def run(tree: Tree, tests: Sequence[str], patience_s: float, *options: str) -> tuple[str, str, float]:
    """Run tests in the tree: `green`, `red` or `error`; by whose word; and in how many seconds."""
    began, witness = monotonic(), tree.root / "witness"
    witness.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.sabotage.witness", "-p", "no:cacheprovider", *options]
    # The environment has the project installed from the tree that is whole: programs shall find the copy before it.
    lent = {LENT: json.dumps(tree.fresh())} if tree.servers else {}
    # What a broken copy runs is no coverage of ours, and a report cannot find its files once the copy is gone.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    env = {**ours, "PYTHONPATH": str(tree.root), WITNESS: str(witness), **lent}
    process = subprocess.Popen(
        [*command, *(f"tests/{test}" for test in tests)],
        cwd=tree.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that it ends the servers which it has started
        said, _ = process.communicate(timeout=60)
    lines = witness.read_text().splitlines() if witness.exists() else []
    return (*weigh(process.returncode, [json.loads(line) for line in lines], said), monotonic() - began)


def weigh(code: int, failed: Sequence[dict[str, Any]], said: str) -> tuple[str, str]:
    """Tell a test that saw the guard missing from one that could not even run."""
    if code == 0:
        return "green", ""
    if code == 1 and failed and all(one["asserted"] for one in failed):
        return "red", ", ".join(one["test"] for one in failed)
    return "error", "; ".join(f"{one['test']}: {one['why']}" for one in failed) or said[-600:]


def tell(verdicts: Sequence[Verdict]) -> None:
    """Print the total, write it down, and fail if a guard can go unseen."""
    red = sum(verdict.seen == "red" for verdict in verdicts)
    JSON.parent.mkdir(parents=True, exist_ok=True)
    JSON.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=2) + "\n")
    print(f"{red} of {len(verdicts)} guards are missed when they are gone. See {JSON}.")
    sys.exit(red < len(verdicts))


if __name__ == "__main__":
    main()
