"""A house of toys, run as a program of its own: `python toys.py DATA NAME=PYTHON…` supervises these in this order."""

import sys
from pathlib import Path

from embedded.child import Child
from embedded.house import locked
from embedded.supervisor import run
from embedded.up import show
from tools.errors import Unavailable


def toy(data: Path, name: str, code: str) -> Child:
    """Make a child that runs this code, and is ready once it has made the file of its name."""
    return Child(
        name=name,
        command=(sys.executable, "-c", f"NAME = {name!r}\n{code}"),
        env={"PYTHONUNBUFFERED": "1"},
        cwd=data,
        ready=(data / name).exists,
        once=name == "once",
        stop_s=20,
    )


def main() -> int:
    """Run them."""
    data = Path(sys.argv[1])
    (data / "log").mkdir(exist_ok=True)
    toys = [toy(data, *each.split("=", 1)) for each in sys.argv[2:]]
    try:
        with locked(data):
            return run(toys, data, lambda name, line: show(f"{name}: {line}"), lambda: show("all up"))
    except Unavailable as problem:
        show(f"Error: {problem}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
