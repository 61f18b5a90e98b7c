"""Ends a ComfyUI whose handler was killed: a program of its own, for `python -I -S keeper.py <process>`.

Else it would keep its port and the GPU, with a graph that nobody wants, and the next handler would meet it there.
"""

import os
import signal
import sys
import time
from contextlib import suppress

#: Seconds that it has to end by itself.
PATIENCE_S = 10.0


def main() -> None:
    """Wait until the handler is gone, however it went, and end the process."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.read()
    with suppress(ProcessLookupError):
        end(int(sys.argv[1]))


def end(process: int) -> None:
    """Ask, wait, then kill. Raises ProcessLookupError once it is gone."""
    os.kill(process, signal.SIGTERM)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        os.kill(process, 0)
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
