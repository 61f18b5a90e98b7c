"""The proof that a file is what it should be: it is decoded to its end."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tools.contract import Params
from tools.errors import NoOutput


def prove(path: Path, suffix: str, params: Params) -> None:
    """Decode a file that a handler made. Raises NoOutput, which says what is wrong with it."""
    if not path.is_file() or path.stat().st_size == 0:
        raise NoOutput("The handler said it was done, but left no file.")
    try:
        PROOFS[suffix](path, params)
    except (OSError, ValueError) as broken:
        raise NoOutput(f"The handler left a {suffix} file that cannot be read: {broken}") from broken


def prove_png(path: Path, params: Params) -> None:
    """Decode every pixel; the size must be the one that was asked for."""
    with Image.open(path, formats=["PNG"]) as image:
        image.load()
        asked = (getattr(params, "width", image.width), getattr(params, "height", image.height))
        if image.size != asked:
            raise ValueError(f"it is {image.width}×{image.height} pixels and not {asked[0]}×{asked[1]}")


def prove_mp4(path: Path, params: Params) -> None:
    """Decode every frame; there must be as many, and as large, as were asked for."""
    import av  # noqa: PLC0415 - only who makes films pays for it

    with av.open(str(path)) as film:
        sizes = [(frame.width, frame.height) for frame in film.decode(video=0)]
    asked = [(getattr(params, "width", 0), getattr(params, "height", 0))] * getattr(params, "length", 0)
    if sizes != asked:
        raise ValueError(f"it has {len(sizes)} frames of {set(sizes)} and not {len(asked)} of {set(asked)}")


def prove_safetensors(path: Path, params: Params) -> None:  # noqa: ARG001 - one signature for all proofs
    """Load every tensor; all numbers must be finite."""
    import numpy as np  # noqa: PLC0415 - only who trains pays for it
    from safetensors import SafetensorError  # noqa: PLC0415 - the same
    from safetensors.numpy import load_file  # noqa: PLC0415 - the same

    try:
        tensors = load_file(path)
    except SafetensorError as broken:
        raise ValueError(str(broken)) from broken
    if not tensors:
        raise ValueError("it holds no tensor")
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name} holds numbers that are not finite")


PROOFS: dict[str, Callable[[Path, Params], None]] = {
    ".png": prove_png,
    ".mp4": prove_mp4,
    ".safetensors": prove_safetensors,
}
