"""Look for what is known to be unsafe: in our code, in what CI runs, and in the packages of every lock.

It ends well only if nothing was found, and says "not checked" where the list of known weaknesses cannot be reached:
that nothing was found there proves nothing.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

#: Our code, as bandit takes it.
CODE = ("tools", "storage", "db", "gpu_handlers", "tasks", "api", "embedded", "scripts", *map(str, ROOT.glob("*.py")))

#: Who knows of weaknesses: the second is asked where the first cannot tell.
SOURCES = ("pypi", "osv")

#: How pip-audit begins to tell of weaknesses; whatever else it fails of, it has not looked.
FOUND = "known vulnerabilit"


def main() -> None:
    """Look, tell, and end with 1 if anything was found."""
    bad = [name for name, command in LOOKS.items() if not look(name, command)]
    bad += [lock.name for lock in sorted(ROOT.glob("*.lock")) if not weigh(lock)]
    sys.exit(f"Found something: {', '.join(bad)}." if bad else 0)


LOOKS = {
    "bandit": ("bandit", "-q", "-ll", "-c", "pyproject.toml", "-r", *CODE),
    "zizmor": ("zizmor", "--offline", "--persona", "regular", "--no-progress", "-q", ".github"),
}


def look(name: str, command: Sequence[str]) -> bool:
    """Run a program that ends with 0 if it has found nothing."""
    done = run(command)
    print(f"{name}: {'clean' if done.returncode == 0 else done.stdout + done.stderr}")
    return done.returncode == 0


def weigh(lock: Path) -> bool:
    """Look up the packages of a lock; one that could not be looked up is no bad one, and no good one."""
    for source in SOURCES:
        done = run(("pip-audit", "-s", source, "--strict", "--require-hashes", "--disable-pip", "-r", str(lock)))
        said = done.stdout + done.stderr
        print(f"{lock.name} by {source}: {verdict(done.returncode, said)}")
        if done.returncode == 0 or FOUND in said:
            return done.returncode == 0
    return True


def verdict(code: int, said: str) -> str:
    """Say what came of it."""
    if code == 0:
        return "no known weakness"
    if FOUND in said:
        return said
    last = said.strip().splitlines()[-1:] or ["it says nothing"]
    return f"not checked ({last[0][:200]})"


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a program beside this Python."""
    return subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
