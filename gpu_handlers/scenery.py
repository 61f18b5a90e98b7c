"""The scene around a product: backdrop, ground, light, shadow."""

import cv2
import numpy as np

from gpu_handlers.lexicon import SURFACES, Place, Reading, Rgb, Surface
from gpu_handlers.pixels import Plane, blur, floats, mix, resize

STUDIO = Place((232, 232, 235), (212, 212, 216))


def paint(reading: Reading, light: float, size: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Paint an empty scene: (height, width, 3), 0 to 1. `light` says where it comes from: −1 left to 1 right."""
    width, height = size
    place, surface = reading.place or STUDIO, find_surface(reading)
    above, below = tint(place.above, reading.backdrop), tint(place.horizon, reading.backdrop)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    horizon = 0.6 + float(rng.uniform(-0.03, 0.03))
    scene = mix(above, below, np.clip(y / horizon, 0, 1)[..., None])
    if place.hills:
        ridge = horizon - 0.05 - 0.05 * wave(rng, width, 6)[None, :]
        scene = mix(scene, mix(below, above, 0.5) * 0.55, soft_step(y, ridge, 0.015) * 0.8)
    glow = np.exp(-((x - 0.5 - 0.4 * light) ** 2 + (y - 0.3) ** 2) / 0.14)
    scene = mix(scene, 1.0, 0.35 * glow) + 0.03 * (cloud(rng, size, 5) - 0.5)[..., None]
    if place.lights:
        scene = scene + sparkle(rng, size) * (y < horizon - 0.02)[..., None]
    edge = 0.002 if reading.place else 0.16  # a studio's cove has no horizon
    scene = mix(scene, lay(surface, below, horizon, (x, y), rng), soft_step(y, horizon, edge))
    fall = 1 - 0.22 * ((x - 0.5 - 0.25 * light) ** 2 + (y - 0.5) ** 2) * 2
    return floats(np.clip(scene * fall[..., None] * floats(reading.light), 0, 1))


def find_surface(reading: Reading) -> Surface | None:
    """Choose what is asked for, or what belongs to the place; None is the backdrop, going on."""
    return reading.surface or SURFACES.get(reading.place.ground if reading.place else "")


def tint(colour: Rgb, dye: Rgb | None) -> Plane:
    """Take a colour to 0…1, dyed if it is to be."""
    plane = floats(colour) / np.float32(255)
    return plane if dye is None else mix(plane, floats(dye) / np.float32(255), 0.8)


def lay(
    surface: Surface | None, below: Plane, horizon: float, grid: tuple[Plane, Plane], rng: np.random.Generator
) -> Plane:
    """Lay the ground in perspective: what is nearer is larger."""
    x, y = grid
    depth = 1 / (np.maximum(y - horizon, 0) + 0.09)
    colour = below * 0.96 if surface is None else floats(surface.colour) / 255
    kind = surface.texture if surface else "plain"
    stretch = {"grain": (0.25, 9.0), "speckle": (2.5, 9.0), "veins": (0.7, 1.6), "ripples": (0.7, 6.0)}
    if kind not in stretch:
        return floats(colour * (1 - 0.1 * (y - horizon))[..., None])
    across, along = stretch[kind]
    coarse, fine = (14, 40) if kind == "veins" else (48, 200)
    tile = cloud(rng, (512, 512), coarse) * 0.6 + cloud(rng, (512, 512), fine) * 0.4
    u, v = (x - 0.5) * depth * across * 70 + 256, depth * along * 16
    pattern = floats(cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)) - 0.5
    if kind == "veins":
        pattern = floats(-np.exp(-np.abs(pattern) * 28) * 0.6)
    strength = (1.25 - float(colour.mean())) * {"grain": 0.8, "speckle": 0.75, "veins": 1.1, "ripples": 1.0}[kind]
    far = np.clip((y - horizon) * 8, 0.15, 1)  # far texture is finer than a pixel: it fades
    return floats(colour * (1 + strength * pattern * far)[..., None])


def soft_step(y: Plane, at: Plane | float, width: float) -> Plane:
    """Go from 0 to 1 around a height."""
    part = np.clip((y - at) / width + 0.5, 0, 1)
    return floats(part * part * (3 - 2 * part))


def wave(rng: np.random.Generator, length: int, swings: int) -> Plane:
    """Make a smooth random line, 0 to 1."""
    return floats(np.clip(resize(rng.random((1, swings)), length, 1)[0], 0, 1))


def cloud(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Plane:
    """Make smooth noise, 0 to 1, with so many cells across."""
    return floats(np.clip(resize(rng.random((cells, cells)), *size), 0, 1))


def sparkle(rng: np.random.Generator, size: tuple[int, int]) -> Plane:
    """Scatter lights out of focus."""
    plane = np.zeros((size[1], size[0], 3), np.float32)
    for _ in range(14):
        place = (int(rng.uniform(0, size[0])), int(rng.uniform(0, 0.5 * size[1])))
        warm = (1.0, float(rng.uniform(0.6, 0.9)), float(rng.uniform(0.35, 0.8)))
        shade = rng.uniform(0.05, 0.3)
        cv2.circle(plane, place, int(rng.uniform(0.008, 0.025) * size[1]), [c * shade for c in warm], -1, cv2.LINE_AA)
    return blur(plane, size[1] / 250)


def stand(scene: Plane, product: Plane, corner: tuple[int, int], light: float, gloss: float) -> Plane:
    """Set an RGBA product (0 to 1) on the ground at its upper left corner, with shadow and reflection."""
    left, top = corner
    high, wide = product.shape[:2]
    alpha = np.zeros(scene.shape[:2], np.float32)
    alpha[top : top + high, left : left + wide] = product[..., 3]
    foot = top + high
    squash = floats([[1, light * 0.9, -light * 0.9 * foot], [0, 0.22, foot * 0.78 - 0.02 * high]])
    thrown = floats(cv2.warpAffine(alpha, squash, (scene.shape[1], scene.shape[0])))
    below = np.roll(alpha, max(1, round(0.022 * high)), 0)  # follows the outline: a foot need not be level
    near = soft_step(np.arange(len(alpha), dtype=np.float32), foot - 0.3 * high, 0.3 * high)[:, None]
    shade = np.maximum(0.38 * blur(thrown, high * 0.03), 0.75 * blur(below * near, high * 0.015))
    out = mix(scene, scene * 0.12, shade)
    if gloss:
        mirrored = reflect(product, scene.shape[0] - top - high)
        span = np.s_[top + high : top + high + len(mirrored), left : left + wide]
        fade = np.linspace(1, 0, len(mirrored), dtype=np.float32)[:, None] * gloss
        out[span] = mix(out[span], mirrored[..., :3], mirrored[..., 3] * fade)
    place = np.s_[top : top + high, left : left + wide]
    out[place] = mix(out[place], product[..., :3], product[..., 3])
    return out


def reflect(product: Plane, room: int) -> Plane:
    """Mirror the foot of a product downwards, as far as there is room."""
    return blur(product[::-1][: max(1, min(room, len(product) // 2))], 1.5)
