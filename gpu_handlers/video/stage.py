"""A picture as a stage: a backdrop, a ground in its depth, and the product before them."""

from dataclasses import dataclass

import cv2
import numpy as np

from gpu_handlers import cutout, pixels
from gpu_handlers.appearance import clean
from gpu_handlers.filling import fill
from gpu_handlers.pixels import Pixels, Plane, floats, mix, to_pixels, to_plane
from gpu_handlers.regions import bound
from tools.video import VideoParams

#: The camera stands a little closer than the picture, so that it need not look over its edge at once.
CLOSER = 0.96
#: And shows so much more than the product is high or wide.
ROOM = 1.42


@dataclass(frozen=True)
class Stage:
    """What the camera sees: a backdrop without the product, how near each row of it is, and the product before it.

    Shapes: backdrop (height, width, 3), depth (height, width; 0 far, 1 where the product stands), product (its height,
    its width, RGBA; empty if there is none) with its upper left corner (x, y).
    """

    backdrop: Pixels
    depth: Plane
    product: Plane
    corner: tuple[int, int]


def set_up(image: Pixels, params: VideoParams) -> Stage:
    """Part an RGB picture into product and backdrop, in the frame's size."""
    rng, size = pixels.chance(params.seed), (params.width, params.height)
    image = pixels.fit(image, 2 * max(size))
    plane, found = pixels.unfinished(to_plane(image), params.steps, rng), cutout.find(image)
    nothing = np.zeros(image.shape[:2], np.float32)
    frame = crop(found.alpha if found else nothing, size[0] / size[1])
    alpha = found.alpha if found and found.confidence > cutout.DOUBTFUL else nothing  # all of it is then backdrop
    product = shoot(clean(np.dstack([plane, alpha])), frame, size)
    backdrop = shoot(clear(plane, alpha, rng) if alpha.any() else plane, frame, size)
    rows, columns = bound(product[..., 3] > 0.02) or np.s_[:0, :0]
    foot = (rows.stop or 0.8 * size[1]) / size[1]
    y = np.linspace(0, 1, size[1], dtype=np.float32)[:, None]
    slope = (y - 0.55 * foot) / (0.45 * foot) if alpha.any() else np.full_like(y, 0.5)  # a flat picture has no depth
    depth = np.repeat(np.clip(slope, 0, 1.6), size[0], 1)
    corner = (int(columns.start or 0), int(rows.start or 0))
    return Stage(to_pixels(backdrop), floats(depth), product[rows, columns], corner)


def clear(plane: Plane, alpha: Plane, rng: np.random.Generator) -> Plane:
    """Take the product out of a picture, and its edge with it; the new fades into the old, so that no seam is seen."""
    wide = floats(cv2.dilate(alpha, np.ones((max(alpha.shape) // 42,) * 2, np.uint8)))
    within = floats(np.clip(pixels.blur(wide, max(alpha.shape) / 230) * 2 - 1, 0, 1))
    return mix(plane, fill(plane, wide, rng), within)


def crop(alpha: Plane, shape: float) -> tuple[float, float, float]:
    """Choose what the frame shows, all of the product if it can: left, top, height; it may reach over the sides."""
    height, width = alpha.shape
    tall, middle = min(height, width / shape), (width / 2, height / 2)
    if box := bound(alpha > 0.5):
        (top, bottom), (left, right) = ((side.start, side.stop) for side in box)
        tall = min(height, max(tall, (bottom - top) * ROOM, (right - left) * ROOM / shape))
        middle = ((left + right) * 0.3 + width * 0.2, (top + bottom) / 2)
    wide, top = tall * shape, min(max(middle[1] - tall / 2, 0), height - tall)
    left = min(max(middle[0] - wide / 2, 0), width - wide) if wide < width else (width - wide) / 2
    return left, top, tall


def shoot(plane: Plane, frame: tuple[float, float, float], size: tuple[int, int]) -> Plane:
    """Show a part of a picture in a size; beyond its sides it goes on as in a mirror, a product does not."""
    left, top, tall = frame
    zoom = size[1] / tall
    lens = floats([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
    small = cv2.GaussianBlur(plane, (0, 0), 0.45 / zoom) if zoom < 1 else plane
    border = cv2.BORDER_REFLECT_101 if plane.shape[2] == 3 else cv2.BORDER_CONSTANT
    return floats(np.clip(cv2.warpAffine(small, lens, size, flags=cv2.INTER_LINEAR, borderMode=border), 0, 1))


def look(stage: Stage, camera: Plane) -> Pixels:
    """Show one frame, (height, width, 3), of a camera that went (right, down, closer, around): the near moves most."""
    right, down, closer, around = (float(value) for value in camera)
    height, width = stage.depth.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    near = 0.25 + 0.75 * stage.depth
    scale = np.exp(-closer * (0.35 + 0.65 * stage.depth)) * CLOSER
    u = (x - width / 2) * scale + width / 2 + near * width * (right + 0.1 * around * (stage.depth - 1))
    v = (y - height * 0.55) * scale + height * 0.55 + near * height * down
    behind = np.asarray(
        cv2.remap(stage.backdrop, floats(u), floats(v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )
    if not stage.product.size:
        return behind
    front = floats(cv2.warpPerspective(stage.product, turn(stage, camera), (width, height), flags=cv2.INTER_LINEAR))
    return to_pixels(mix(to_plane(behind), front[..., :3], front[..., 3]))


def turn(stage: Stage, camera: Plane) -> Plane:
    """Say how the camera sees the product: it moves with the ground at its foot, and shows one side nearer."""
    right, down, closer, around = (float(value) for value in camera)
    (height, width), (high, wide), (left, top) = stage.depth.shape, stage.product.shape[:2], stage.corner
    zoom, middle = np.exp(closer) / CLOSER, left + wide / 2
    corners = floats([(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)])
    aside, below = corners[:, 0] - middle, corners[:, 1] - top - 0.8 * high
    x = (middle - width / 2 - right * width) * zoom + width / 2 + aside * zoom * np.cos(0.5 * around)
    y = (
        (corners[:, 1] - height * 0.55 - down * height) * zoom
        + height * 0.55
        + 0.12 * around * zoom * aside / wide * below
    )
    return floats(cv2.getPerspectiveTransform(corners - floats([left, top]), floats(np.stack([x, y], 1))))
