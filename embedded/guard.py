"""Ends the children of a supervisor that was itself killed: a program of its own, for `python -I -S`.

A parent-death signal would reach the children only; their own children, such as a worker's pool, would live on.
"""

import os
import signal
import sys
import time


def main() -> None:
    """Read `<group> <signal>` per line (signal 0: ended), and end what is left when the other side is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        group, number = map(int, line.split())
        groups[group] = number
    end({group: number for group, number in groups.items() if number})


def end(groups: dict[int, int], patience_s: float = 10) -> None:
    """Ask in reverse order of the start, wait, then kill what is still there."""
    for group in reversed(groups):
        # A server is asked through its leader alone: it knows best how to end its own.
        tell(group if groups[group] != signal.SIGKILL else -group, groups[group])
    until = time.monotonic() + patience_s
    while time.monotonic() < until and any(tell(-group, 0) for group in groups):
        time.sleep(0.05)
    for group in groups:
        tell(-group, signal.SIGKILL)


def tell(target: int, number: int) -> bool:
    """Send a signal; False when nobody is there any more."""
    try:
        os.kill(target, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
