"""Pictures of strangers, decoded and written anew: what comes out is pixels and nothing else."""

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from storage.address import readable
from tools.errors import NotAnImage, PathNotAllowed, TooLarge
from tools.mask import SCENE_CHUNK

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 50_000_000
MIN_SIDE_PX = 8
MAX_PROFILE_BYTES = 4 * 2**20

#: By the EXIF orientation, how to set a picture upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: What Pillow raises on broken files: mostly the first three, and now and then what a parser forgot to catch.
DECODER_ERRORS = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class Picture:
    """A clean picture: a PNG in RGB or RGBA, upright, 8 bits a channel; sides in pixels."""

    png: bytes
    width: int
    height: int


def clean(data: bytes, longest_px: int = MAX_PIXELS) -> Picture:
    """Decode a PNG, JPEG or WebP and write it anew, without metadata but for the scene of a mask.

    With `longest_px` it is scaled down until no side is longer. Raises NotAnImage or TooLarge.
    """
    image, scene = develop(data, longest_px)
    return Picture(encode(image, scene), image.width, image.height)


def develop(data: bytes, longest_px: int = MAX_PIXELS) -> tuple[Image.Image, str | None]:
    """Decode a PNG, JPEG or WebP: as upright RGB or RGBA in sRGB, and the scene of a mask, if it names one."""
    given = decode(data)
    image = eight_bits(given)
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    return turned(in_srgb(image, given.info.get("icc_profile")), given), scene_of(given)


def decode(data: bytes) -> Image.Image:
    """Read the first frame."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        check_size(image)
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large() from error
    except DECODER_ERRORS as error:
        raise NotAnImage("The file is not a picture that we can read: send a whole PNG, JPEG or WebP.") from error
    return image


def check_size(image: Image.Image) -> None:
    """Refuse by the header, before a pixel is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise too_large()
    if min(image.size) < MIN_SIDE_PX:
        raise NotAnImage(
            f"The picture is {image.width}x{image.height}: send one of at least {MIN_SIDE_PX} pixels a side."
        )


def too_large() -> TooLarge:
    """Say how large a picture may be. Pillow's own limit warns first and is global, so it is not ours."""
    return TooLarge(f"The picture has more than {MAX_PIXELS // 10**6} megapixels: scale it down.")


def scene_of(image: Image.Image) -> str | None:
    """Read the one text chunk that is kept, if it names a file that a caller may name."""
    text = str(image.info.get(SCENE_CHUNK, ""))
    try:
        return str(readable(text))
    except PathNotAllowed:
        return None


def eight_bits(image: Image.Image) -> Image.Image:
    """Bring any mode to RGB, RGBA or (for its profile) CMYK."""
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion makes everything above 255 white
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "CMYK" else image.convert("RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn the colours of a profile (Display P3, Adobe RGB, a press's CMYK) into sRGB, as the profile is not kept."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            moved = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, *DECODER_ERRORS):
            return image.convert(mode)  # a broken profile says nothing about the pixels
        return moved or image.convert(mode)
    return image.convert(mode)


def turned(image: Image.Image, given: Image.Image) -> Image.Image:
    """Set a picture upright, as the EXIF data of the given one says."""
    try:
        turn = TURNS.get(given.getexif().get(ExifTags.Base.Orientation, 1))
    except DECODER_ERRORS:
        return image  # broken EXIF data says nothing about the pixels
    return image if turn is None else image.transpose(turn)


def encode(image: Image.Image, scene: str | None = None) -> bytes:
    """Write a PNG, quickly rather than tightly."""
    info = PngInfo()
    if scene:
        info.add_text(SCENE_CHUNK, scene)
    image.info.clear()  # or Pillow would write what it finds there, such as a profile or a transparent colour
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info, compress_level=1)
    return out.getvalue()
