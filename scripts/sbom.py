"""Write down what we are built of: a bill of materials (CycloneDX) for each lock, into `var/sbom/`.

Each is compared with its lock: every package with its version and its hashes must stand in both.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings import VERSION

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var/sbom"

#: Name and version of a package, and the hashes of all files that it may come as.
Packages = Mapping[tuple[str, str], set[str]]


def main() -> None:
    """Write all, and end with 1 if one is not what its lock says."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wrong = []
    for lock in sorted(ROOT.glob("*.lock")):
        path = FOLDER / f"{lock.stem}.json"
        known, written = read_lock(lock), read_bill(write(lock, path))
        print(f"{lock.name}: {len(written)} packages, {path.relative_to(ROOT)}")
        wrong += [] if known == written else [lock.name]
    sys.exit(f"Not what the lock says: {', '.join(wrong)}." if wrong else 0)


def write(lock: Path, path: Path, *options: str) -> Mapping[str, Any]:
    """Write the bill of a lock; gives it."""
    asked = ["requirements", str(lock), "--pyproject", str(ROOT / "pyproject.toml"), "--of", "JSON",
             "--output-reproducible", "-o", str(path), *options]  # fmt: skip
    subprocess.run([Path(sys.executable).parent / "cyclonedx-py", *asked], check=True, capture_output=True)
    bill: dict[str, Any] = json.loads(path.read_text())
    bill["metadata"]["component"]["version"] = VERSION  # pyproject.toml leaves that to the code
    path.write_text(json.dumps(bill, indent=1) + "\n")
    return bill


def read_bill(bill: Mapping[str, Any]) -> Packages:
    """Read what a bill says."""
    found: Packages = defaultdict(set)
    for one in bill["components"]:
        files = [file for files in one["externalReferences"] for file in files["hashes"]]
        found[one["name"], one["version"]].update(file["content"] for file in files)
    return found


def read_lock(lock: Path) -> Packages:
    """Read what a lock says."""
    found: Packages = defaultdict(set)
    for block in re.split(r"\n(?=\S)", lock.read_text().strip()):
        name, version = re.findall(r"^([\w.-]+)(?:\[.+\])?==([^\s;]+)", block)[0]
        found[name, version].update(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
    return found


if __name__ == "__main__":
    main()
