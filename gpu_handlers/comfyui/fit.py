"""Whether a LoRA fits a base model: ComfyUI leaves out what does not, and calls that a success."""

import re
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tools.errors import InvalidInput

#: The shapes of the tensors in a file, by name.
Header = dict[str, list[int]]

#: What stands before the name of a module, by who wrote the file.
PREFIXES = re.compile(
    r"^(?:base_model\.model\.|model\.)?(?:diffusion_model|transformer)\.|^(?:lora_unet|lora_transformer|lycoris)_"
)

#: The two halves of an adapter: what it takes in, what it gives.
HALVES = [(".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight"),
          (".lora_A.default.weight", ".lora_B.default.weight"), (".lora.down.weight", ".lora.up.weight")]  # fmt: skip

#: Modules of FLUX.1 and FLUX.2 in the words of Diffusers, and in their own.
DOUBLE = {
    "attn_to_q": "img_attn_qkv", "attn_to_k": "img_attn_qkv", "attn_to_v": "img_attn_qkv",
    "attn_add_q_proj": "txt_attn_qkv", "attn_add_k_proj": "txt_attn_qkv", "attn_add_v_proj": "txt_attn_qkv",
    "attn_to_out_0": "img_attn_proj", "attn_to_add_out": "txt_attn_proj",
    "norm1_linear": "img_mod_lin", "norm1_context_linear": "txt_mod_lin",
    "ff_net_0_proj": "img_mlp_0", "ff_net_2": "img_mlp_2",
    "ff_context_net_0_proj": "txt_mlp_0", "ff_context_net_2": "txt_mlp_2",
    "ff_linear_in": "img_mlp_0", "ff_linear_out": "img_mlp_2",
    "ff_context_linear_in": "txt_mlp_0", "ff_context_linear_out": "txt_mlp_2",
}  # fmt: skip
SINGLE = {
    "attn_to_q": "linear1", "attn_to_k": "linear1", "attn_to_v": "linear1", "proj_mlp": "linear1",
    "proj_out": "linear2", "norm_linear": "modulation_lin",
    "attn_to_qkv_mlp_proj": "linear1", "attn_to_out": "linear2",
}  # fmt: skip
DIFFUSERS = re.compile(r"(single_)?transformer_blocks_(\d+)_(.+)")
BLOCK = re.compile(r"(?:double|single)_blocks_\d+_|.*(?:blocks|layers|attentions|resnets)_\d+_")


def read_header(path: Path) -> Header:
    """Read the shapes of a file's tensors. Raises InvalidInput for what is no whole safetensors file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - it is no dict
    except SafetensorError as broken:
        raise InvalidInput.at("model_id", f"the model's file cannot be read ({broken}): train it again.") from broken


def find_base(folders: Sequence[Path], name: str) -> Header | None:
    """Read the header of the base model; None where its file is not on our disk."""
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    return read_header(found) if found else None


def check(lora: Header, base: Header | None) -> None:
    """Compare a LoRA's blocks with those of the base. Raises InvalidInput if one, or all, would be left out."""
    modules = {name: shape for name, shape in adapters(lora).items() if BLOCK.match(name)}
    known = {PREFIXES.sub("", key).replace(".", "_"): shape for key, shape in (base or {}).items()}
    strange = [name for name, shape in modules.items() if not fits(name, shape, known if base else None)]
    if strange or not modules:
        told = f"such as {strange[0]}" if strange else "it has no block of it"
        advice = f"this model was trained for another base than the one used here ({told}): train it again."
        raise InvalidInput.at("model_id", advice)


def adapters(lora: Header) -> dict[str, tuple[int, int] | None]:
    """List the modules of the model that a LoRA works on, with what they give and take; those of text encoders not."""
    found: dict[str, tuple[int, int] | None] = {}
    for key, shape in lora.items():
        for down, up in HALVES:
            if key.endswith(down) and (other := lora.get(key.removesuffix(down) + up)):
                found[own_name(key.removesuffix(down))] = (other[0], shape[1])
        if marked := re.match(r"(.+)\.(?:lokr_w1|hada_w1)", key):
            found[own_name(marked[1])] = None
    return {name: sizes for name, sizes in found.items() if not name.startswith(("lora_te", "text_"))}


def own_name(module: str) -> str:
    """Call a module as FLUX itself does, with underscores."""
    name = PREFIXES.sub("", module).replace(".", "_")
    if told := DIFFUSERS.fullmatch(name):
        single, number, part = told.groups()
        return f"{'single' if single else 'double'}_blocks_{number}_{(SINGLE if single else DOUBLE).get(part, part)}"
    return name


def fits(name: str, sizes: tuple[int, int] | None, base: Header | None) -> bool:
    """Tell whether the base has such a module; a part of it may give less, as q, k and v are one there."""
    if base is None:
        return name.startswith(("double_blocks_", "single_blocks_"))
    shape = base.get(f"{name}_weight")
    return shape is not None and (sizes is None or (sizes[0] <= shape[0] and sizes[1] == shape[1]))
