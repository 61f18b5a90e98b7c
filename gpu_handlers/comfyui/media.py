"""Pictures on their way into ComfyUI, which takes any bytes and fails later."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tools.errors import NotAnImage


def check(path: Path, folder: Path, longest: int) -> Path:
    """Decode a picture to its last pixel; returns it, or a copy in `folder` if it was larger, or no plain RGB PNG.

    What is transparent becomes white: ComfyUI would show what colour lies under it. Sides are in pixels.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if (image.format, image.mode) == ("PNG", "RGB") and max(image.size) <= longest:
                return path
            clean = flatten(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as broken:
        raise NotAnImage from broken
    scale = min(1.0, longest / max(clean.size))
    if scale < 1:
        size = (max(1, round(clean.width * scale)), max(1, round(clean.height * scale)))
        clean = clean.resize(size, Image.Resampling.LANCZOS)
    return write(clean, folder / f"{path.name}.clean.png")


def measure(path: Path) -> tuple[int, int]:
    """Give width and height of a picture, in pixels."""
    with Image.open(path) as image:
        return image.size


def flatten(image: Image.Image) -> Image.Image:
    """Lay a picture on white."""
    if image.mode == "RGB":
        return image.copy()
    clear = image.convert("RGBA")
    ground = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(ground, clear).convert("RGB")


def write(image: Image.Image, path: Path) -> Path:
    """Encode a PNG quickly: it travels no further than to the process next door."""
    image.save(path, "PNG", compress_level=1)
    return path
