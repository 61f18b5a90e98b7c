"""One attempt at a training in a process of its own, which may be killed or short of memory: JSON in, outcome out."""

import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import torch

from gpu_handlers.attempt import run_attempt
from gpu_handlers.train.lora import checkpoint, learning

take = learning.take


def main() -> None:
    """Make the attempt that stdin tells of."""
    torch.set_num_threads(1)  # as in `school.taught`: another number adds up in another order
    told = json.loads(sys.stdin.read())
    checkpoint.EVERY = told.get("every", checkpoint.EVERY)
    learning.take = lambda course, step, learner: meet(told, course, step, learner)
    outcome = run_attempt(told["task"], report=lambda *_: None, stop=threading.Event(), keep=lambda _: True)
    sys.stdout.write(outcome.model_dump_json())


def meet(told: dict[str, Any], course: Any, step: int, learner: Any) -> float:
    """Take a step, unless this is the one at which something happens."""
    if step == told.get("kill_at"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "spare_bytes" in told:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + told["spare_bytes"],) * 2)
    return take(course, step, learner)


if __name__ == "__main__":
    main()
