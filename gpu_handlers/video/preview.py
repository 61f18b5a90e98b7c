"""Video, the preview way: the camera moves over the picture."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from gpu_handlers import pixels
from gpu_handlers.work import Work
from tools.video import VideoParams

FRAMES_A_SECOND = 16

#: Word → what the camera does from start to end: (right, down, closer, turned), in parts of the frame.
MOVES: dict[str, tuple[float, float, float, float]] = {
    **dict.fromkeys(("zoom", "push", "closer", "dolly"), (0, 0, 0.3, 0)),
    **dict.fromkeys(("pull", "away"), (0, 0, -0.3, 0)),
    "out": (0, 0, -0.6, 0), "left": (-0.16, 0, 0, 0), "right": (0.16, 0, 0, 0), "down": (0, 0.12, 0, 0),
    **dict.fromkeys(("up", "rise", "rises"), (0, -0.12, 0, 0)),
    **dict.fromkeys(("circle", "circles", "orbit", "around", "rotates", "turns"), (0.03, 0, 0.04, 0.1)),
}  # fmt: skip

#: Without mbtree=0 the encoder reads memory that nobody wrote, and equal frames give different films.
ENCODING = {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"}


def run(params: VideoParams, work: Work) -> Path:
    """Make H.264 of exactly `length` frames; yuv420p and faststart, so that every browser plays and seeks."""
    image = pixels.read(work.fetch(params.image_url))
    work.confess("steps")
    if not moves(params.prompt):
        work.warn("prompt_not_read", "The preview engine knows no motion in this prompt: the seed chose one.", "prompt")
    path = work.folder / "film.mp4"
    # A real file, not BytesIO: faststart reads back what was written.
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=FRAMES_A_SECOND, options=ENCODING)
        stream.width, stream.height, stream.pix_fmt = params.width, params.height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = FRAMES_A_SECOND
        for number, array in enumerate(frames(image, params)):
            work.report(0.1 + 0.8 * number / params.length, "filming")
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_A_SECOND)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def moves(prompt: str) -> list[tuple[float, float, float, float]]:
    """List what a prompt tells the camera to do."""
    return [MOVES[word] for word in re.findall(r"[a-z]+", prompt.lower()) if word in MOVES]


def frames(image: pixels.Pixels, params: VideoParams) -> Iterator[pixels.Pixels]:
    """Show the picture as the camera sees it: `length` frames (height, width, 3), equal for equal params."""
    rng = pixels.chance(params.seed)
    ground = frame_up(image, params.width, params.height)
    told = moves(params.prompt) or [list(MOVES.values())[int(rng.integers(len(MOVES)))]]
    turn = rng.choice([-1.0, 1.0])  # which way round is left open by the words
    move = pixels.floats(told).sum(0) * rng.uniform(0.8, 1.2) * (1, 1, 1, turn)
    drift = rng.uniform(-0.03, 0.03, 4) * (1, 1, 0, 1)
    for number in range(params.length):
        part = number / (params.length - 1)
        eased = part * part * (3 - 2 * part)
        yield look(ground, pixels.floats((move + drift) * (eased - 0.5)), params)


def frame_up(image: pixels.Pixels, width: int, height: int) -> pixels.Pixels:
    """Fit a picture to the frame's shape: partly cropped, partly continued at its sides by its own mirrored blur."""
    tall, wide = image.shape[:2]
    both = (width / wide, height / tall)
    scale = (max(both) * min(both) ** 2) ** (1 / 3)
    inner = pixels.resize(image, max(1, round(wide * scale)), max(1, round(tall * scale)))
    top, left = max(0, (inner.shape[0] - height) // 2), max(0, (inner.shape[1] - width) // 2)
    inner = inner[top : top + height, left : left + width]
    up, aside = height - inner.shape[0], width - inner.shape[1]
    edges = (up // 2, up - up // 2, aside // 2, aside - aside // 2)
    sharp = pixels.to_plane(np.asarray(cv2.copyMakeBorder(inner, *edges, cv2.BORDER_REFLECT_101)))
    within = cv2.copyMakeBorder(np.ones(inner.shape[:2], np.float32), *edges, cv2.BORDER_CONSTANT, value=0)
    seam = np.clip(pixels.blur(pixels.floats(within), max(1, up, aside) / 4) * 2, 0, 1)
    return pixels.to_pixels(pixels.mix(pixels.blur(sharp, height / 50), sharp, pixels.floats(seam)))


def look(ground: pixels.Pixels, camera: pixels.Plane, params: VideoParams) -> pixels.Pixels:
    """Show one frame: the corners that the camera sees, drawn out to the whole."""
    right, down, closer, turned = camera
    half = 0.41 * np.exp(-closer)
    sides = half * (1 + turned), half * (1 - turned)  # who turns sees one side nearer
    x, y = 0.5 + right * 0.6, 0.5 + down * 0.6
    corners = [(x - half, y - sides[0]), (x + half, y - sides[1]), (x + half, y + sides[1]), (x - half, y + sides[0])]
    seen = pixels.floats([(u * params.width, v * params.height) for u, v in corners])
    whole = pixels.floats([(0, 0), (params.width, 0), (params.width, params.height), (0, params.height)])
    lens = cv2.getPerspectiveTransform(seen, whole)
    size = (params.width, params.height)
    return np.asarray(
        cv2.warpPerspective(ground, lens, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )
