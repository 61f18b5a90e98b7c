"""On what is trained, and how precisely: bfloat16 on a GPU, float32 on a CPU."""

import gc
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


@dataclass(frozen=True)
class Way:
    """Where the base model lies and in which numbers. The LoRA itself is always learnt in float32."""

    accelerator: Accelerator
    dtype: torch.dtype
    #: Compute again in the way back what would fill the memory of a GPU: a third more time, a fraction of the memory.
    thrifty: bool

    @property
    def device(self) -> torch.device:
        """The device of the base model."""
        found: torch.device = self.accelerator.device
        return found

    @property
    def precision(self) -> str:
        """Name the numbers of the base model."""
        return str(self.dtype).removeprefix("torch.")

    def free(self) -> None:
        """Give back the memory of what is not held any more."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def find() -> Way:
    """Take a GPU if there is one. On a CPU equal input gives equal bits."""
    for chatter in (diffusers_logging, transformers_logging):
        chatter.disable_progress_bar()
        chatter.set_verbosity_error()
    on_gpu = torch.cuda.is_available()
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no", cpu=not on_gpu)
    return Way(accelerator, torch.bfloat16 if on_gpu else torch.float32, thrifty=on_gpu)
