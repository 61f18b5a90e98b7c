"""Video, the preview way: the camera moves before the product, the ground and what is behind, each in its depth."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from gpu_handlers import pixels
from gpu_handlers.pixels import Pixels, floats
from gpu_handlers.video.stage import look, set_up
from gpu_handlers.work import Work
from tools.video import VideoParams

FRAMES_A_SECOND = 16

#: What the camera does, by the words for it: (right, down, closer, around), in parts of the frame.
MOVES: dict[str, tuple[float, float, float, float]] = {
    **dict.fromkeys(("push", "zoom", "closer", "dolly", "in"), (0, 0, 0.3, 0)),
    **dict.fromkeys(("pull", "away", "out"), (0, 0, -0.3, 0)),
    **dict.fromkeys(("left",), (-0.14, 0, 0, 0)), **dict.fromkeys(("right", "pan", "pans", "slides"), (0.14, 0, 0, 0)),
    **dict.fromkeys(("up", "rise", "rises", "crane"), (0, -0.12, 0.06, 0)), **dict.fromkeys(("down",), (0, 0.1, 0, 0)),
    **dict.fromkeys(("orbit", "circle", "circles", "around", "rotates", "turns"), (0.05, 0, 0.08, 1.0)),
}  # fmt: skip

#: Without mbtree=0 the encoder reads memory that nobody wrote, and equal frames give different films.
ENCODING = {"preset": "veryfast", "crf": "19", "x264-params": "mbtree=0"}


def run(params: VideoParams, work: Work) -> Path:
    """Make H.264 of exactly `length` frames; yuv420p and faststart, so that every browser plays and seeks."""
    image = pixels.read(work.fetch(params.image_url))
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


def frames(image: Pixels, params: VideoParams) -> Iterator[Pixels]:
    """Show the picture as the camera sees it: `length` frames (height, width, 3), equal for equal params."""
    rng = pixels.chance(params.seed)
    stage = set_up(image, (params.width, params.height), params.steps, rng)
    told = moves(params.prompt) or [list(MOVES.values())[int(rng.integers(len(MOVES)))]]
    way = rng.choice([-1.0, 1.0])  # which way round is left open by the words
    move = (
        floats(told).sum(0) * rng.uniform(0.8, 1.2) * ((way, 1, 1, way) if floats(told)[:, 3].any() else (1, 1, 1, 1))
    )
    drift = rng.uniform(-0.05, 0.05, 4) * (1, 0.7, 1, 4)
    for number in range(params.length):
        part = number / (params.length - 1)
        yield look(stage, (move + drift) * (part * part * (3 - 2 * part) - 0.5))
