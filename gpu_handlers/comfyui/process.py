"""ComfyUI's own process, where it is ours to run; elsewhere it only has to answer."""

import atexit
import logging
import shlex
import subprocess
import sys
import time
from threading import Event, Lock

from gpu_handlers.comfyui import keeper
from gpu_handlers.comfyui.wire import Wire
from tools.errors import Cancelled, ComfyuiCrashed, ExecutionTimeout

logger = logging.getLogger(__name__)

#: Seconds between two looks at a ComfyUI that starts.
LOOK_S = 0.1

#: Seconds that somebody else's ComfyUI has to answer. Ours has all the time of the job, while its process lives.
PATIENCE_S = 120.0


class Process:
    """Starts ComfyUI by a command, and starts it again when it has died; without a command it waits for another's."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        atexit.register(self.stop)

    def await_ready(self, wire: Wire, stop: Event, deadline: float) -> None:
        """Wait until ComfyUI answers. Raises ComfyuiCrashed (it says why), Cancelled or ExecutionTimeout."""
        self._start()
        patience = time.monotonic() + PATIENCE_S
        while not wire.answers():
            self._look(wire, patience)
            if time.monotonic() > deadline:
                raise ExecutionTimeout("ComfyUI was not ready in the time that one attempt may take: try again.")
            if stop.wait(LOOK_S):
                raise Cancelled

    def stop(self) -> None:
        """End our ComfyUI, if there is one: the next job starts another."""
        with self._lock:
            if self._child and self._child.poll() is None:
                self._child.terminate()
                try:
                    self._child.wait(10)
                except subprocess.TimeoutExpired:
                    self._child.kill()
                    self._child.wait()
            self._child = None
            self._dismiss()

    def last_words(self) -> str:
        """Say how our ComfyUI ended; empty while it lives, or if it is not ours."""
        code = self._child.poll() if self._child else None
        return "" if code is None else f"its process ended with code {code}"

    def _start(self) -> None:
        with self._lock:
            if self._command and (self._child is None or self._child.poll() is not None):
                logger.info("starting ComfyUI")
                self._dismiss()
                self._child = subprocess.Popen(self._command)  # noqa: S603 - the command is the operator's
                keep = (sys.executable, "-I", "-S", keeper.__file__, str(self._child.pid))
                self._keeper = subprocess.Popen(keep, stdin=subprocess.PIPE)  # noqa: S603 - the command is ours

    def _dismiss(self) -> None:
        """End the keeper of a ComfyUI that has ended."""
        if self._keeper:
            self._keeper.kill()
            self._keeper.communicate()
        self._keeper = None

    def _look(self, wire: Wire, patience: float) -> None:
        if said := self.last_words():
            raise ComfyuiCrashed(f"ComfyUI did not start: {said}. Its log says why.")
        if self._child is None and time.monotonic() > patience:
            raise ComfyuiCrashed(f"ComfyUI does not answer at {wire.url}: start it, or correct COMFYUI_URL.")
