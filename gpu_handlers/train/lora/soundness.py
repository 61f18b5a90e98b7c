"""The proof that a file is a LoRA of its base: every key has its place there, and it does something."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from gpu_handlers.comfyui import fit
from gpu_handlers.train.lora.base import PREFIX
from tools.train import LoraUnsound

#: The modules of a FLUX model's blocks in the words of ComfyUI, which are those of its makers.
OWN = re.compile(r"double_blocks_\d+_(?:img|txt)_(?:attn_qkv|attn_proj|mlp_0|mlp_2)|single_blocks_\d+_linear[12]")


@dataclass(frozen=True)
class Proven:
    """How many modules a LoRA works on, and of how many numbers it consists."""

    modules: int
    numbers: int


def prove(path: Path, transformer: Any, modules: str) -> Proven:
    """Hold a file against its base, whose modules that learn match `modules`. Raises LoraUnsound."""
    try:
        tensors = load_file(path)
    except SafetensorError as broken:
        raise LoraUnsound(f"The model's file cannot be read ({broken}): train it again.") from broken
    sizes = measure(transformer, modules)
    check_names(tensors, sizes)
    check_shapes(tensors, sizes)
    check_own_names(tensors, sizes)
    check_numbers(tensors)
    return Proven(len(sizes), sum(tensor.numel() for tensor in tensors.values()))


def measure(transformer: Any, modules: str) -> dict[str, tuple[int, int]]:
    """List the modules that learn: what each gives and takes."""
    return {
        name: (module.out_features, module.in_features)
        for name, module in transformer.named_modules()
        if re.fullmatch(modules, name)
    }


def check_names(tensors: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
    """Compare the keys with diffusers' names of the modules: none more, none less."""
    wanted = {f"{PREFIX}{name}.lora_{half}.weight" for name in sizes for half in "AB"}
    if strange := sorted(tensors.keys() ^ wanted):
        raise LoraUnsound(
            f"{len(strange)} keys of the model do not fit the base, such as {strange[0]}: train it again."
        )


def check_shapes(tensors: Mapping[str, torch.Tensor], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Compare what each half gives and takes with its module."""
    for name, (out, into) in sizes.items():
        down, up = (tensors[f"{PREFIX}{name}.lora_{half}.weight"] for half in "AB")
        if (up.shape[0], down.shape[1], up.shape[1]) != (out, into, down.shape[0]):
            raise LoraUnsound(f"{name} of the model has another size than in the base: train it again.")


def check_own_names(tensors: Mapping[str, torch.Tensor], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Compare with ComfyUI's names, where several of diffusers' modules are one: what they give is laid end to end."""
    given: dict[str, int] = defaultdict(int)
    for name, (out, _) in sizes.items():
        given[fit.own_name(f"{PREFIX}{name}")] += out
    found = fit.adapters({name: list(tensor.shape) for name, tensor in tensors.items()})
    strange = sorted(name for name in given.keys() | found.keys() if not OWN.fullmatch(name) or name not in found)
    if strange:
        raise LoraUnsound(f"ComfyUI has no module {strange[0]}, so it would leave a part of the model out.")


def check_numbers(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse numbers that are none, and a LoRA that adds nothing."""
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise LoraUnsound(f"{name} of the model holds numbers that are not finite: lower lr, and train again.")
    added = math.fsum(float(tensor.abs().sum()) for name, tensor in tensors.items() if ".lora_B." in name)
    if added == 0:
        raise LoraUnsound("The model adds nothing to the base: raise lr or steps, and train again.")
