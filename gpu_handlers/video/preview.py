"""Video, the preview way: the camera moves before the product, the ground and what is behind, each in its depth."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from gpu_handlers import pixels
from gpu_handlers.pixels import Pixels, Plane, floats
from gpu_handlers.video.stage import Stage, look, set_up
from gpu_handlers.work import Work
from tools.video import VideoParams

FRAMES_A_SECOND = 16

#: What the camera does: the words for it, those that turn it round, and (right, down, closer, around), in parts of
#: the frame.
MOVES: tuple[tuple[str, str, tuple[float, float, float, float]], ...] = (
    ("push pushes zoom zooms dolly closer pull pulls away", "out away back pull pulls", (0, 0, 0.3, 0)),
    ("pan pans panning slide slides left right sideways", "left", (0.14, 0, 0, 0)),
    ("rise rises rising up crane down lower lowers sinks", "down lower lowers sinks", (0, -0.12, 0, 0)),
    ("orbit orbits orbiting circle circles around rotate rotates turn turns", "", (0.05, 0, 0.08, 1.0)),
)

#: Without mbtree=0 the encoder reads memory that nobody wrote, and equal frames give different films.
ENCODING = {"preset": "veryfast", "crf": "19", "x264-params": "mbtree=0"}


def run(params: VideoParams, work: Work) -> Path:
    """Make H.264 of exactly `length` frames; yuv420p and faststart, so that every browser plays and seeks."""
    stage = set_up(pixels.read(work.fetch(params.image_url)), params)
    if not moves(params.prompt):
        work.warn("prompt_not_read", "The preview engine knows no motion in this prompt: the seed chose one.", "prompt")
    if not stage.product.size:
        work.warn("no_product", "No product stands out in this picture, so all of it moves as one.", "image_url")
    path = work.folder / "film.mp4"
    # A real file, not BytesIO: faststart reads back what was written.
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=FRAMES_A_SECOND, options=ENCODING)
        stream.width, stream.height, stream.pix_fmt = params.width, params.height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = FRAMES_A_SECOND
        for number, array in enumerate(frames(stage, params)):
            work.report(0.1 + 0.8 * number / params.length, "filming")
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_A_SECOND)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def moves(prompt: str) -> list[Plane]:
    """List what a prompt tells the camera to do: each motion once."""
    said = set(re.findall(r"[a-z]+", prompt.lower()))
    told = [(floats(move), said & set(turned.split())) for words, turned, move in MOVES if said & set(words.split())]
    return [-move if turned else move for move, turned in told]


def frames(stage: Stage, params: VideoParams) -> Iterator[Pixels]:
    """Show the stage as the camera sees it: `length` frames (height, width, 3), equal for equal params."""
    rng = pixels.chance(params.seed)
    told = moves(params.prompt) or [floats(MOVES[int(rng.integers(len(MOVES)))][2])]
    move, drift = np.sum(told, 0) * rng.uniform(0.7, 1.3), rng.uniform(-0.05, 0.05, 4) * (1, 0.7, 1, 4)
    if move[3]:
        move *= (way := rng.choice([-1.0, 1.0]), 1, 1, way)  # which way round is left open by the words
    for number in range(params.length):
        part = number / (params.length - 1)
        yield look(stage, floats(move + drift) * np.float32(part * part * (3 - 2 * part) - 0.5))
