"""Pictures on their way into ComfyUI, which takes any bytes and fails later."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tools.errors import NotAnImage


def check(path: Path, folder: Path) -> Path:
    """Decode a picture to its last pixel; returns it, or a copy in `folder` if it was no plain RGB PNG.

    What is transparent becomes white: ComfyUI would show what colour lies under it.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if (image.format, image.mode) == ("PNG", "RGB"):
                return path
            flat = flatten(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as broken:
        raise NotAnImage from broken
    return write(flat, folder / f"{path.name}.flat.png")


def flatten(image: Image.Image) -> Image.Image:
    """Lay a picture on white."""
    clear = image.convert("RGBA")
    ground = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(ground, clear).convert("RGB")


def write(image: Image.Image, path: Path) -> Path:
    """Encode a PNG quickly: it travels no further than to the process next door."""
    image.save(path, "PNG", compress_level=1)
    return path
