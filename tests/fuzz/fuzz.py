"""Ask the API what nobody would ask, by its own description, and judge every answer."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import requests

from embedded.ports import any_free
from tests.conftest import Processes

ROOT = Path(__file__).parents[2]

#: Seconds that an answer may take.
LONGEST_S = 5.0

#: What is asked of each answer beside what the ledger tells: that it has the form which was promised for it.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance"


@dataclass
class Figures:
    """What came of it."""

    requests: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    #: Answers of which there must be none, each as the witness wrote it.
    broken: list[str] = field(default_factory=list)
    undocumented: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    #: What the fuzzer itself found, in its own words.
    fuzzer: str = ""
    fuzzer_exit: int = 0

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found."""
        return self.requests > 0 and self.fuzzer_exit == 0 and not (self.broken or self.undocumented or self.slow)


@contextmanager
def serving_app(processes: Processes, ledger: Path, key: str) -> Iterator[str]:
    """Run the app with its witness; nobody does the jobs, so nobody waits for them."""
    port = any_free(set())
    env = {"FUZZ_LEDGER": str(ledger), "AUTH": "keys", "RATE_LIMIT": "100000000 per day", "SYNC_WAIT_S": "0"}
    started = processes.start(
        "gunicorn", "tests.fuzz.served:create_app()", "-k", "api.reception.Reception", "--threads", "16",
        "-b", f"127.0.0.1:{port}", env=env,
    )  # fmt: skip
    started.wait_for(lambda: "Booting worker" in started.said())
    url = f"http://127.0.0.1:{port}"
    assert requests.get(f"{url}/api/jobs", headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code == 200
    yield url


def ask(
    url: str, key: str, out: Path, *, examples: int, phases: str, seed: int, only: str = "."
) -> tuple[int, str]:  # fmt: skip
    """Let schemathesis ask; give its exit code, and what it says in the end.

    By one worker: in one Python, two that read its own source at a time trip over each other, and the phase is lost.
    """
    command = [
        str(Path(sys.executable).parent / "st"), "run", f"{url}/openapi.json", "--phases", phases,
        "--continue-on-failure", "--max-examples", str(examples), "--seed", str(seed), "--workers", "1",
        "--checks", CHECKS, "--max-response-time", str(LONGEST_S), "--request-timeout", "30", "--no-color",
        "--generation-database", "none", "--warnings", "off", "-H", f"Authorization: Bearer {key}",
        "--suppress-health-check", "all", "--no-shrink", "--include-path-regex", only,
    ]  # fmt: skip
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.manners", "PYTHONPATH": str(ROOT)}
    with out.open("wb") as said:
        done = subprocess.run(command, cwd=out.parent, env=env, stdout=said, stderr=said, check=False)
    return done.returncode, out.read_text(errors="replace")


def judge(ledger: Path, document: Mapping[str, Any]) -> Figures:
    """Count what the witness saw, and find what must not be."""
    figures, known = Figures(), documented(document)
    counted: Counter[str] = Counter()
    for line in ledger.read_text().splitlines():
        method, rule, status, seconds = line.rsplit(" ", 3)
        counted[status] += 1
        figures.slowest_s = max(figures.slowest_s, float(seconds))
        if int(status) >= 500:
            figures.broken.append(line)
        if float(seconds) > LONGEST_S:
            figures.slow.append(line)
        codes = known.get((method, rule))
        if codes is not None and status not in codes:
            figures.undocumented.append(line)
    figures.requests, figures.statuses = counted.total(), dict(sorted(counted.items()))
    return figures


def documented(document: Mapping[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Read which codes each operation names, by the way that the app writes its addresses; `default` names none."""
    return {
        (verb.upper(), path.replace("{", "<").replace("}", ">")): set(operation["responses"]) - {"default"}
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }


def fuzz(processes: Processes, folder: Path, key: str, **wishes: Any) -> Figures:
    """Do all of it."""
    ledger, began = folder / "ledger", monotonic()
    with serving_app(processes, ledger, key) as url:
        document = requests.get(f"{url}/openapi.json", timeout=60).json()
        code, said = ask(url, key, folder / "schemathesis.txt", **wishes)
    figures = judge(ledger, document)
    figures.seconds, figures.fuzzer_exit = round(monotonic() - began, 1), code
    figures.fuzzer = "" if code == 0 else said
    return figures


def write(figures: Figures, path: Path) -> None:
    """Keep the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vars(figures), indent=2) + "\n")
