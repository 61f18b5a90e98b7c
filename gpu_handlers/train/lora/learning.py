"""The loop: step by step, to be stopped and taken up again at any of them."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from gpu_handlers.train import lesson
from gpu_handlers.train.lora import checkpoint, flow
from gpu_handlers.train.lora.base import Base
from gpu_handlers.train.lora.checkpoint import Learner, State
from gpu_handlers.train.lora.shots import Shot, gather
from gpu_handlers.work import Work
from tools.errors import Cancelled, ExecutionTimeout
from tools.train import TRAIN, TrainingDiverged, TrainParams

#: A step's gradient is cut down to this length.
LONGEST_GRADIENT = 1.0

#: From here to there is the part of an attempt's progress that the steps are.
FROM, TO = 0.1, 0.85

#: The share of an attempt's time that may be over when a step begins; what is left is for the samples and the proof.
LATEST = 0.9

#: Seconds between two tellings of the loss.
TELL_EVERY_S = 1.0


@dataclass(frozen=True)
class Course:
    """All that a training is."""

    base: Base
    shots: Sequence[Shot]
    #: Which shots are learnt at each step.
    batches: Sequence[Sequence[int]]
    #: Names this very training: an attempt with another one does not go on from its checkpoint.
    fingerprint: str


@dataclass(frozen=True)
class Learnt:
    """The loss of each step; the step that this attempt began at, and the seconds of those before it."""

    losses: Sequence[float]
    first: int
    earlier_s: float


def learn(course: Course, params: TrainParams, work: Work, began: float) -> Learnt:
    """Train to the last step, of an attempt that began at a time of the monotonic clock.

    Raises:
        Cancelled, ExecutionTimeout: the steps that were done are kept.
        TrainingDiverged: a loss or a gradient is no number.
    """
    transformer = course.base.transformer.train()
    weights = {name: weight for name, weight in transformer.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), lr=params.lr, betas=(0.9, 0.999), weight_decay=1e-2)
    learner = checkpoint.resume(course.fingerprint, weights, optimizer, work.folder)
    state, first, earlier_s = learner.state, learner.state.step, learner.state.seconds
    news = News(params.steps, first)
    until = began + LATEST * (work.timeout_s or TRAIN.limits.timeout_s)
    for step in range(first, params.steps):
        if work.stop.is_set() or time.monotonic() > until:
            stop(course, learner, work)
        state.losses.append(take(course, step, learner))
        state.seconds = earlier_s + time.monotonic() - began
        if state.step % checkpoint.EVERY == 0 or state.step == params.steps:
            checkpoint.keep(course.fingerprint, learner, work.folder)
        with suppress(Cancelled):  # a stop is heard at the top, where the steps are kept
            work.report(*news.tell(state))
    transformer.eval()
    return Learnt(state.losses, first, earlier_s)


def take(course: Course, step: int, learner: Learner) -> float:
    """Take one step; gives its loss. Raises TrainingDiverged."""
    base = course.base
    batch = gather([course.shots[number] for number in course.batches[step]], base.way)
    noise, sigma = flow.draw_noise(base.family, batch, flow.chance(lesson.seed_of(base.seed, step)))
    loss = flow.measure(base, batch, noise, sigma)
    base.way.accelerator.backward(loss)
    length = base.way.accelerator.clip_grad_norm_(list(learner.weights.values()), LONGEST_GRADIENT)
    found = float(loss.detach())
    if not math.isfinite(found) or not math.isfinite(float(length)):
        told = f"The loss is no number any more at step {step + 1}: lower lr, and train again."
        raise TrainingDiverged(told, {"step": step + 1})
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)
    return found


def stop(course: Course, learner: Learner, work: Work) -> None:
    """Keep the steps that were done, and end. Raises Cancelled or ExecutionTimeout."""
    done = learner.state.step
    if done:
        checkpoint.keep(course.fingerprint, learner, work.folder)
    if work.stop.is_set():
        raise Cancelled
    told = (
        f"The training's time was over at step {done} of {len(course.batches)}: ask for the same, and it goes on there."
    )
    raise ExecutionTimeout(told, {"step": done})


class News:
    """Says how far it is: the loss of late, and the minutes that are left."""

    def __init__(self, steps: int, first: int) -> None:
        self.steps, self.first = steps, first
        self.began, self.told_at, self.stage = time.monotonic(), -math.inf, ""

    def tell(self, state: State) -> tuple[float, str]:
        """Tell the fraction that is done, and a stage; the same one for a second, as each new one is sent on."""
        now = time.monotonic()
        if now - self.told_at >= TELL_EVERY_S:
            left_s = (now - self.began) / (state.step - self.first) * (self.steps - state.step)
            recent = state.losses[-50:]
            loss = sum(recent) / len(recent)
            self.stage = f"training: step {state.step} of {self.steps}, loss {loss:.4f}, {left_s / 60:.0f} min left"
            self.told_at = now
        return FROM + (TO - FROM) * state.step / self.steps, self.stage
