"""Pictures of strangers."""

import io
import random
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from settings import settings
from storage.pictures import MAX_PIXELS, clean
from tools.errors import NotAnImage, TooLarge, ToolError
from tools.mask import SCENE_CHUNK

Painter = Callable[..., bytes]
SCENE = f"r2://{settings().s3_bucket}/generated/scene.png"


def reopened(data: bytes) -> Image.Image:
    """Clean a file, and open what came out."""
    picture = clean(data)
    image = Image.open(io.BytesIO(picture.png))
    image.load()
    assert (image.format, image.size) == ("PNG", (picture.width, picture.height))
    assert image.mode in {"RGB", "RGBA"}
    return image


def pixels(image: Image.Image) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    return np.asarray(image).astype(np.int16)


def source(data: bytes, mode: str = "RGB") -> Image.Image:
    return Image.open(io.BytesIO(data)).convert(mode)


def with_size(width: int, height: int) -> bytes:
    """Make a PNG whose header claims a size, with hardly anything in it."""
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "RGB"), ("PNG", "P"), ("PNG", "L"), ("PNG", "1"), ("JPEG", "RGB"), ("JPEG", "L"), ("WEBP", "RGB")],
)
def test_the_pixels_stay(paint: Painter, form: str, mode: str) -> None:
    data = paint(form, mode)
    assert np.array_equal(pixels(reopened(data)), pixels(source(data)))


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA")])
def test_alpha_stays(form: str, mode: str) -> None:
    image = Image.new("RGBA", (16, 16), (200, 100, 50, 0)).convert(mode)
    image.paste(Image.new(mode, (8, 16), (90,) * len(mode)), (0, 0))
    out = io.BytesIO()
    image.save(out, form, lossless=True)
    alpha = reopened(out.getvalue()).getchannel("A")
    assert (alpha.getpixel((0, 0)), alpha.getpixel((15, 0))) == (90, 0)


def test_a_transparent_colour_becomes_alpha(paint: Painter) -> None:
    palette = reopened(paint("PNG", "P", transparency=0))
    assert palette.mode == "RGBA"
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(out, "PNG", transparency=(1, 2, 3))
    assert reopened(out.getvalue()).getpixel((0, 0)) == (1, 2, 3, 0)


def test_cmyk_becomes_rgb() -> None:
    out = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(out, "JPEG")
    red, green, blue = pixels(reopened(out.getvalue()))[8, 8]
    assert red > 240
    assert max(green, blue) < 15


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16)
    out = io.BytesIO()
    Image.fromarray(np.tile(ramp, (16, 1))).save(out, "PNG")
    grey = pixels(reopened(out.getvalue()))[0, :, 0]
    assert np.abs(grey - np.arange(256)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_out_upright(orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose members that lay an upright picture as a camera does
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste("red", (0, 0, 8, 8))
    upright.paste("blue", (24, 8, 32, 16))
    upright.paste("green", (24, 0, 32, 8))
    laid = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    out = io.BytesIO()
    laid.save(out, "PNG", exif=exif)
    assert np.array_equal(pixels(reopened(out.getvalue())), pixels(upright))


def test_colours_of_a_profile_become_srgb_and_a_broken_profile_is_passed_over(paint: Painter) -> None:
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (255, 0, 0)).save(out, "PNG", icc_profile=bytes(swapped))
    moved = reopened(out.getvalue())
    assert moved.getpixel((0, 0)) == (0, 0, 255)
    assert "icc_profile" not in moved.info
    for broken in (b"junk", bytes(swapped[:200])):
        data = paint("PNG", icc_profile=broken)
        assert np.array_equal(pixels(reopened(data)), pixels(source(data)))


def test_nothing_but_pixels_comes_out(paint: Painter) -> None:
    info = PngInfo()
    info.add_text("Comment", "secret")
    info.add_itxt("XML:com.adobe.xmp", "<x>secret</x>")
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "secret"
    data = paint("PNG", pnginfo=info, exif=exif, dpi=(72, 72)) + b"<script>secret</script>"
    png = clean(data).png
    assert b"secret" not in png
    assert {png[at - 4 : at] for at in chunk_bodies(png)} == {b"IHDR", b"IDAT", b"IEND"}
    assert b"secret" not in clean(paint("JPEG", exif=exif, comment=b"secret")).png


def chunk_bodies(png: bytes) -> list[int]:
    """Answer where the bodies of a PNG's chunks begin."""
    at, found = 8, []
    while at < len(png):
        found.append(at + 8)
        at += 12 + struct.unpack_from(">I", png, at)[0]
    return found


def marked(paint: Painter, text: str) -> bytes:
    info = PngInfo()
    info.add_text(SCENE_CHUNK, text)
    return paint("PNG", pnginfo=info)


def test_the_scene_of_a_mask_stays_however_often(paint: Painter) -> None:
    once = clean(marked(paint, SCENE)).png
    assert reopened(once).info[SCENE_CHUNK] == SCENE


@pytest.mark.parametrize(
    "text", ["", "secret", "https://example.com/x.png", "r2://other/uploads/x.png", SCENE + "\n", SCENE + "\0x",
             f"r2://{settings().s3_bucket}/models/1", f"r2://{settings().s3_bucket}/uploads/../claims/1", "x" * 2000]
)  # fmt: skip
def test_a_scene_that_nobody_may_name_does_not_stay(paint: Painter, text: str) -> None:
    assert SCENE_CHUNK not in reopened(marked(paint, text)).info


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    for form in ("PNG", "WEBP"):
        out = io.BytesIO()
        frames[0].save(out, form, save_all=True, append_images=frames[1:], lossless=True)
        image = reopened(out.getvalue())
        assert (image.getpixel((0, 0)), getattr(image, "n_frames", 1)) == ((255, 0, 0), 1)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "BMP", "PDF", "EPS", "ICO", "PPM", "TGA"])
def test_other_formats_are_refused(paint: Painter, form: str) -> None:
    assert_refused(paint(form, size=(16, 16)), NotAnImage)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"<html>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"GIF89a" + bytes(99),
     b"8BPS\0\1", b"MZ" + bytes(999), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP"],
)  # fmt: skip
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert_refused(data, NotAnImage)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_half_a_picture_is_refused(paint: Painter, form: str) -> None:
    data = paint(form)
    assert_refused(data[: len(data) // 2], NotAnImage)


def assert_refused(data: bytes, error: type[ToolError]) -> None:
    with pytest.raises(error) as refused:
        clean(data)
    assert type(refused.value) is error
    assert ": s" in refused.value.detail  # send, or scale


def test_a_picture_of_hardly_a_pixel_is_refused(paint: Painter) -> None:
    assert_refused(paint(size=(1, 1)), NotAnImage)
    assert_refused(paint(size=(900, 7)), NotAnImage)
    assert clean(paint(size=(8, 8))).width == 8


@pytest.mark.parametrize(
    ("width", "height"), [(10000, 5001), (9500, 9500), (12000, 12000), (100000, 100000), (2**31 - 1, 9)]
)
@pytest.mark.parametrize("rule", ["error", "default"])
def test_a_pixel_bomb_is_refused_by_its_header(width: int, height: int, rule: str) -> None:
    data = with_size(width, height)
    tracemalloc.start()
    try:
        with warnings.catch_warnings(record=rule == "default"):
            warnings.simplefilter("error" if rule == "error" else "default")
            assert_refused(data, TooLarge)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_the_limit_of_pixels_is_fifty_million() -> None:
    assert MAX_PIXELS == 50_000_000
    assert_refused(with_size(10000, 5000), NotAnImage)  # within the limit, but its data is missing


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_bomb_in_a_chunk_is_not_unpacked(paint: Painter, kind: bytes) -> None:
    bomb = zlib.compress(bytes(20 * 2**20))
    body = b"x\0\1\0\0\0" + bomb if kind == b"iTXt" else b"x\0\0" + bomb
    data = paint()
    tracemalloc.start()
    try:
        assert_refused(data[:33] + chunk(kind, body) + data[33:], NotAnImage)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_no_broken_file_gets_past_our_own_errors(paint: Painter) -> None:
    chance = random.Random(7)
    whole = [paint(form, mode) for form, mode in (("PNG", "RGB"), ("PNG", "P"), ("JPEG", "CMYK"), ("WEBP", "RGBA"))]
    ended = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow grumbles about what is broken
        for _ in range(800):
            broken = bytearray(chance.choice(whole))
            for _ in range(chance.randint(1, 5)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            try:
                clean(bytes(broken))
            except (NotAnImage, TooLarge):
                ended += 1
    assert 0 < ended < 800
