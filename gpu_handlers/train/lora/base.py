"""A base model with a LoRA to be learnt: loaded from diffusers' folder, and changed by nothing but the LoRA."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save

from gpu_handlers.train.lora.family import Family
from gpu_handlers.train.lora.way import Way

#: What stands before each module's name in a file that diffusers and ComfyUI both read.
PREFIX = "transformer."


@dataclass(frozen=True)
class Base:
    """A transformer on its device, and all that goes with it."""

    family: Family
    folder: Path
    way: Way
    transformer: Any
    #: Of all chance in its training.
    seed: int

    def save(self, path: Path, about: str) -> Path:
        """Write the LoRA as a safetensors file."""
        learnt = get_peft_model_state_dict(self.transformer)
        tensors = {f"{PREFIX}{name}": tensor.detach().float().cpu().contiguous() for name, tensor in learnt.items()}
        # One metadata key: equal weights give equal bytes. And not save_file, whose errors tell of no full disk.
        path.write_bytes(save(tensors, {"packshot": about}))
        return path


def load_part(folder: Path, name: str, way: Way) -> Any:
    """Load a part of the base, such as its VAE, which learns nothing."""
    part = AutoModel.from_pretrained(str(folder), subfolder=name, dtype=way.dtype).to(way.device)
    part.requires_grad_(requires_grad=False)
    return part.eval()


def load(family: Family, folder: Path, way: Way, rank: int, seed: int) -> Base:
    """Load the transformer, and give it a LoRA that does nothing yet; alpha is the rank, so that its scale is 1."""
    transformer = load_part(folder, "transformer", way)
    if way.thrifty:
        transformer.enable_gradient_checkpointing()
    torch.manual_seed(seed)  # one half of a LoRA begins at random
    transformer.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=family.modules))
    for weight in transformer.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return Base(family, folder, way, transformer, seed)
