"""Makes `.venv` with exactly the locked packages: `python3 scripts/bootstrap.py [--dev]`; or `.venv-train`: `--train`.

Done in an instant if done. It runs before anything is installed, so it needs nothing but Python; the first lines must
run on an old one, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRAIN = "--train" in sys.argv[1:]
VENV, BOOTSTRAP = ROOT / (".venv-train" if TRAIN else ".venv"), ROOT / ".bootstrap"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "packshot.json"
LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
TRAIN_LOCK = ROOT / "requirements-train.lock"
NEWEST, OLDEST = 16, 11


def main() -> None:
    """Install what is missing."""
    need_python()
    locks = [TRAIN_LOCK] if TRAIN else [LOCK, DEV_LOCK] if "--dev" in sys.argv[1:] else [LOCK]
    wanted = {lock.name: fingerprint(lock) for lock in locks}
    if wanted.items() <= installed().items():
        return
    say(f"Installing {count(locks[-1])} packages into {VENV.name}; this happens once.")
    make(locks[-1])
    STAMP.write_text(json.dumps({**installed(), **wanted}))
    say("Installed.")


def need_python() -> None:
    """Go on with a Python that is new enough, or say what to do."""
    if TRAIN and sys.version_info[:2] != (3, OLDEST):
        sys.exit(f"PyTorch is locked for Python 3.{OLDEST}: say make test-train PYTHON=python3.{OLDEST}")
    if sys.version_info >= (3, OLDEST):
        return
    for minor in range(NEWEST, OLDEST - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, __file__, *sys.argv[1:]])  # noqa: S606 - no shell is wanted
    version = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"Packshot needs Python 3.{OLDEST} or newer, and this is {version}: install one and try again.")


def fingerprint(lock: Path) -> str:
    """Tell one state of the lock, the project file and the place from another: a moved `.venv` does not work."""
    parts = (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode(), sys.version[:4].encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def installed() -> dict[str, str]:
    """Give the fingerprints of what is there."""
    if not STAMP.exists() or not PYTHON.exists():
        return {}
    found: dict[str, str] = json.loads(STAMP.read_text())
    return found


def make(lock: Path) -> None:
    """Make the environment, install the lock, then ourselves."""
    if not has_pip():
        run(sys.executable, "-m", "venv", "--clear", str(VENV), quiet=True)
    uv = find_uv() or fetch_uv()
    if not has_pip() and not (
        uv and run(uv, "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, str(VENV))
    ):
        sys.exit("This Python has neither venv nor pip. Install them (Debian: apt install python3-venv), or uv.")
    install(uv, "--require-hashes", "-r", str(lock))
    install(uv, "--no-deps", "--no-build-isolation", "-e", str(ROOT))


def has_pip() -> bool:
    """Tell whether the environment is there and works."""
    return PYTHON.exists() and run(str(PYTHON), "-m", "pip", "--version", quiet=True)


def install(uv: str, *what: str) -> None:
    """Install with uv, in a tenth of the time; pip knows mirrors that uv may not, so it has the last word."""
    if uv and run(uv, "pip", "install", "--quiet", "--python", str(PYTHON), *what, quiet=True):
        return
    need(follow(str(PYTHON), "-m", "pip", "install", "--no-compile", "--progress-bar=off", *what))


def find_uv() -> str:
    """Find uv, if it is there already."""
    return shutil.which("uv", path=os.pathsep.join([os.environ.get("PATH", ""), str(BOOTSTRAP / "bin")])) or ""


def fetch_uv() -> str:
    """Get uv with the pip that there is; its version and hashes are in our lock. Gives an empty word without one."""
    pin = re.search(r"^uv==.*?(?=^\S|\Z)", DEV_LOCK.read_text(), re.DOTALL | re.MULTILINE)
    BOOTSTRAP.mkdir(exist_ok=True)
    (BOOTSTRAP / "uv.lock").write_text(pin.group() if pin else "")
    pip = (str(PYTHON) if has_pip() else sys.executable, "-m", "pip", "install", "--require-hashes")
    run(*pip, "--target", str(BOOTSTRAP), "--upgrade", "-r", str(BOOTSTRAP / "uv.lock"), quiet=True)
    return find_uv()


def run(*command: str, quiet: bool = False) -> bool:
    """Run a command; True if all went well."""
    out = subprocess.DEVNULL if quiet else None
    # The certificates of the system, as pip takes them: behind a company's proxy uv's own are not enough.
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1"}
    # PyTorch for a CPU lies in no common index: it is where pip was told to look, or in PyTorch's own.
    links = os.environ.get("PIP_FIND_LINKS", "")
    environment |= {"UV_FIND_LINKS": links} if links else {"UV_TORCH_BACKEND": "cpu"}
    return subprocess.run(command, stdout=out, stderr=out, check=False, env=environment).returncode == 0


def follow(*command: str) -> bool:
    """Run pip, and show one short line per ten packages; all it said, if it fails."""
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            said.append(line)
            collected = sum(each.startswith("Collecting") for each in said)
            if line.startswith("Collecting") and collected % 10 == 0:
                say(f"  {collected} fetched")
            if line.startswith("Installing collected"):
                say("  unpacking")
    if pip.returncode:
        sys.stderr.writelines(said[-30:])
    return pip.returncode == 0


def need(done: bool) -> None:  # noqa: FBT001 - it is the only thing that it is told
    """Stop where going on makes no sense."""
    if not done:
        sys.exit("The installation failed; the lines above say why. Is the network there, and this folder yours?")


def count(lock: Path) -> int:
    """Count the packages of a lock."""
    return len(re.findall(r"^\S+==", lock.read_text(), re.MULTILINE))


def say(words: str) -> None:
    """Print at once."""
    print(words, flush=True)


if __name__ == "__main__":
    main()
