"""From a submitted graph to its end: the websocket tells soon, the history and the queue tell the truth."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from gpu_handlers.comfyui.ears import LOST, Ears
from gpu_handlers.comfyui.failures import failure
from gpu_handlers.comfyui.progress import Progress
from gpu_handlers.comfyui.wire import Wire
from gpu_handlers.work import Work
from tools.errors import ComfyuiCrashed, ExecutionTimeout

#: Seconds that we listen at a time: so late, at most, is a stop noticed.
LISTEN_S = 0.2

#: Seconds between two looks at history and queue; and once an end was told, which it is before the history has it.
LOOK_S, SOON_S = 2.0, 0.02

#: Looks in a row that must find the graph nowhere, or nobody who answers, before that is believed.
GONE_LOOKS, SILENT_LOOKS = 2, 5

#: What tells that the history is worth a look.
CUES = {"execution_success", "execution_error", "execution_interrupted", LOST}


class Follower:
    """Follows one graph to its end."""

    def __init__(self, wire: Wire, ears: Ears, prompt_id: str, last_words: Callable[[], str]) -> None:
        self._wire, self._ears, self._id, self._last_words = wire, ears, prompt_id, last_words
        self._pause, self._look_at = LOOK_S, time.monotonic() + LOOK_S
        self._gone = self._silent = 0

    def follow(self, progress: Progress, work: Work, deadline: float) -> dict[str, Any]:
        """Wait for the graph's end; returns its outputs, by node. Raises what it failed of, and Cancelled."""
        while True:
            wait = min(LISTEN_S, self._look_at - time.monotonic())
            self._take(self._ears.hear(max(wait, 0.0)), progress)
            work.report(progress.fraction, progress.stage)
            if time.monotonic() >= self._look_at and (entry := self._look()):
                return outputs(entry)
            if time.monotonic() > deadline:
                raise ExecutionTimeout

    def _take(self, message: Mapping[str, Any] | None, progress: Progress) -> None:
        """Hear what is about our graph; an end makes us look at once, and often until it is written down."""
        if message is None or message.get("data", {}).get("prompt_id", self._id) != self._id:
            return
        progress.take(message)
        if message["type"] in CUES or (message["type"] == "executing" and message["data"]["node"] is None):
            self._pause, self._look_at = SOON_S, time.monotonic()

    def _look(self) -> dict[str, Any] | None:
        """Read the truth, and choose when to read it again: ever later, if an end was told that never comes."""
        self._pause = min(self._pause * 1.5, LOOK_S)
        self._look_at = time.monotonic() + self._pause
        try:
            entry = self._wire.history(self._id)
            known = entry is not None or self._wire.queued(self._id)
        except ComfyuiCrashed as silence:
            self._endure(silence)
            return None
        self._silent = 0
        self._gone = 0 if known else self._gone + 1  # once means little: it may have ended between the two questions
        if self._gone >= GONE_LOOKS:
            raise ComfyuiCrashed("ComfyUI no longer knows the job: it was started anew, or its queue was cleared.")
        return entry

    def _endure(self, silence: ComfyuiCrashed) -> None:
        """Bear with a ComfyUI that does not answer, unless its process has ended."""
        if words := self._last_words():
            raise ComfyuiCrashed(f"ComfyUI died while it worked: {words}.") from silence
        self._silent, self._pause, self._look_at = self._silent + 1, LOOK_S, time.monotonic() + LOOK_S
        if self._silent >= SILENT_LOOKS:
            raise silence


def outputs(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Give the outputs of an ended graph, by node. Raises what it failed of."""
    if error := failure(entry):
        raise error
    made: dict[str, Any] = entry["outputs"]
    return made
