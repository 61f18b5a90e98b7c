"""The scene around a product: backdrop, ground, air, light, shadow."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from gpu_handlers.lexicon import Reading, Thing
from gpu_handlers.pixels import Plane, blur, floats, mix, resize


@dataclass(frozen=True)
class Canvas:
    """What is painted on: x and y (height, width; 0 to 1), the horizon (0 to 1), and where the light stands (−1, 1)."""

    x: Plane
    y: Plane
    horizon: float
    light: float
    rng: np.random.Generator


def paint(reading: Reading, light: float, size: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Paint an empty scene: (height, width, 3), 0 to 1.

    Args:
        reading: What is asked for.
        light: From where it comes: −1 from the left, 1 from the right.
        size: Width and height in pixels.
        rng: All chance in it.
    """
    y, x = np.mgrid[0 : 1 : size[1] * 1j, 0 : 1 : size[0] * 1j].astype(np.float32)
    canvas = Canvas(x, y, 0.58 + float(rng.uniform(-0.03, 0.03)), light, rng)
    outside, tint = reading.place["name"] != "studio", floats(reading.tint)
    above, below = (dye(reading, reading.place[name]) for name in ("above", "horizon"))
    view = mix(above, below, np.clip(y / canvas.horizon, 0, 1)[..., None] ** 1.4)
    if far := FAR.get(reading.place["far"]):
        view = far(canvas, view, above, below)
    edge = 0.012 if outside else 0.3  # a studio's cove has no horizon
    down = soft_step(y, canvas.horizon, edge)
    view = blur(view, size[1] / 180) if outside else view
    scene = floats(mix(view, lay(canvas, reading.surface, below), down) * tint)
    scene = floats(scene + shine(canvas, reading) * (1 - 0.75 * down[..., None]) * (1 - 0.8 * scene))
    scene = mix(scene, below * tint * 0.5 + 0.45, reading.much("fog") * np.exp(-((y - canvas.horizon) ** 2) / 0.05))
    corners = 1.03 - 0.8 * ((x - 0.5 - 0.16 * light) ** 2 + (y - 0.52) ** 2)
    grain = 0.008 * rng.standard_normal(y.shape, np.float32)
    return floats(np.clip(scene * corners[..., None] + grain[..., None], 0, 1))


def dye(reading: Reading, colour: tuple[int, int, int]) -> Plane:
    """Take a colour of the place to 0…1, dyed if it is to be, and lit by a low sun."""
    plane = floats(colour) / np.float32(255)
    if reading.backdrop is not None:
        plane = mix(plane, floats(reading.backdrop) / np.float32(255) * (0.75 + 0.35 * plane.mean()), 0.85)
    return mix(plane, floats(plane.mean() * floats(reading.tint) ** 1.4 * 0.9 + 0.05), reading.much("dusk"))


def shine(canvas: Canvas, reading: Reading) -> Plane:
    """Add what gives light itself: a low sun or a soft lamp, and lights out of focus in the dark."""
    away = (canvas.x - 0.5 - 0.3 * canvas.light) ** 2 + (canvas.y - canvas.horizon + 0.14) ** 2
    warm = floats((1.0, 0.72, 0.42)) * (0.7 * np.exp(-away / 0.05) + 0.8 * np.exp(-away / 0.003))[..., None]
    out = floats(reading.much("glow") * warm + 0.16 * np.exp(-away / 0.16)[..., None] * floats(reading.tint))
    if reading.much("lights") or reading.place.get("lights"):
        out = out + blur(scatter(canvas), canvas.y.shape[0] / 350)
    return out


def scatter(canvas: Canvas) -> Plane:
    """Scatter lights out of focus, a little brighter at their rim, as a lens draws them."""
    (height, width), rng = canvas.y.shape, canvas.rng
    lit = np.zeros((height, width, 3), np.float32)
    for _ in range(26):
        spot = int(rng.uniform(0, width)), int(rng.uniform(0.05, canvas.horizon) * height)
        colour = mix(floats((1.0, 0.75, 0.42)), floats(rng.random(3)), float(rng.uniform(0, 0.7)))
        radius, strength = int(rng.uniform(0.008, 0.03) * height) + 1, float(rng.uniform(0.08, 0.4))
        one = np.zeros_like(lit)
        cv2.circle(one, spot, radius, (colour * strength).tolist(), -1, cv2.LINE_AA)
        cv2.circle(one, spot, radius, (colour * strength * 1.5).tolist(), max(1, radius // 7), cv2.LINE_AA)
        lit += one
    return lit


def ridge(canvas: Canvas, swings: int, rough: float) -> Plane:
    """Make the line of hills or tree-tops: (width), 0 to 1."""
    waves = [wave(canvas.rng, canvas.x.shape[1], swings * 3**n) * rough**n for n in range(4)]
    return floats(np.sum(waves, 0) / 2)


def hills(canvas: Canvas, view: Plane, above: Plane, below: Plane) -> Plane:
    """Close the view by two ranges of hills, the nearer one darker."""
    for near in (0, 1):
        top = canvas.horizon - 0.05 - (0.16 - 0.07 * near) * ridge(canvas, 4 + near, 0.3)
        view = mix(view, mix(below, above * 0.6, 0.35 + 0.35 * near), soft_step(canvas.y, top[None, :], 0.006))
    return view


def trees(canvas: Canvas, view: Plane, _above: Plane, below: Plane) -> Plane:
    """Close the view by trees in three depths."""
    leaf = mix(below, floats((0.16, 0.3, 0.12)), 0.5)
    for near in (0, 1, 2):
        top = canvas.horizon + 0.05 - (0.3 + 0.16 * near * (2 * np.abs(canvas.x[0] - 0.5))) * ridge(canvas, 7, 0.55)
        leaves = (0.85 - 0.22 * near + 0.35 * (noise(canvas, 60, canvas.x * 512, canvas.y * 512) - 0.5))[..., None]
        view = mix(view, leaf * leaves, soft_step(canvas.y, top[None, :], 0.012) * (0.5 + 0.2 * near))
    return view


def towers(canvas: Canvas, view: Plane, above: Plane, below: Plane) -> Plane:
    """Close the view by houses with lit windows."""
    for near, count in ((0, 26), (1, 15)):
        block = (canvas.x[0] * count + 0.7 * near).astype(int)
        top = canvas.horizon - (0.34 - 0.12 * near) * (0.25 + 0.75 * canvas.rng.random(count + 2)[block])
        window = canvas.rng.random((70, count * 5)) > 0.8
        panes = window[(canvas.y * 69).astype(int), (canvas.x * (count * 5 - 1)).astype(int)]
        lit = floats((0.55, 0.42, 0.2)) * (panes & ((canvas.y * 69) % 1 > 0.35))[..., None]
        view = mix(view, mix(below, above, 0.35 + 0.5 * near) * 0.75 + lit, soft_step(canvas.y, top[None, :], 0.003))
    return view


def sea(canvas: Canvas, view: Plane, above: Plane, below: Plane) -> Plane:
    """Close the view by the sea, and put clouds over it."""
    puffs = sum(noise(canvas, n, canvas.x * 400, canvas.y * 900) * w for n, w in ((6, 0.55), (17, 0.3), (45, 0.15)))
    view = mix(view, 0.98, np.clip(puffs * 3 - 1.55, 0, 0.75) * np.clip(canvas.y * 4, 0, 1))
    shore, tint = canvas.horizon - 0.11, mix(above * 0.7, floats((0.1, 0.42, 0.48)), 0.4)
    far = np.clip((canvas.y - shore) / 0.11, 0, 1)[..., None]
    glints = (noise(canvas, 90, canvas.x * 90, canvas.y * 3000)[..., None] - 0.4) * 0.3
    return mix(view, mix(tint, mix(below, tint, 0.35), far**2) * (1 + glints), soft_step(canvas.y, shore, 0.004))


def room(canvas: Canvas, view: Plane, _above: Plane, _below: Plane) -> Plane:
    """Close the view by a wall with things on it, out of focus, and the light of a window."""
    for _ in range(7):
        left, top, wide, high = canvas.rng.uniform((0, 0.05, 0.08, 0.1), (0.9, 0.4, 0.22, 0.4))
        inside = soft_step(canvas.x, left, 0.02) - soft_step(canvas.x, left + wide, 0.02)
        inside = inside * (soft_step(canvas.y, top, 0.02) - soft_step(canvas.y, top + high, 0.02))
        view = mix(view, view * floats(canvas.rng.uniform(0.55, 1.25, 3) * 0.3 + 0.65), inside * 0.8)
    slant = (canvas.x * 1.2 * canvas.light + canvas.y * 0.5) * 7
    return blur(view * (1 + 0.1 * soft_step(np.sin(slant), 0.0, 0.8))[..., None], canvas.y.shape[0] / 90)


FAR: dict[str, Callable[[Canvas, Plane, Plane, Plane], Plane]] = {
    "hills": hills, "trees": trees, "towers": towers, "sea": sea, "room": room,
}  # fmt: skip

#: Texture → how it is stretched across and along, and how strong it is.
TEXTURES = {
    "planks": (14.0, 1.2, 0.5), "speckle": (2.6, 2.6, 0.45), "ripples": (0.5, 3.4, 0.5),
    "blades": (4.0, 1.0, 1.1), "brushed": (0.25, 9.0, 0.16),
}  # fmt: skip


def lay(canvas: Canvas, surface: Thing, below: Plane) -> Plane:
    """Lay the ground in perspective: what is nearer is larger, what is far fades."""
    near = floats(np.clip((canvas.y - canvas.horizon) / (1 - canvas.horizon), 0, 1))
    colour = floats(surface["colour"]) / np.float32(255) if surface else below * np.float32(0.97)
    ground = colour * (0.86 + 0.16 * near)[..., None]
    if surface.get("texture", "plain") == "plain":
        return floats(ground)
    deep = floats(1 / (near * 0.9 + 0.1))
    pattern = weave(canvas, surface["texture"], floats((canvas.x - 0.5) * deep), floats(deep * 0.9))
    pattern = pattern * np.clip(near * 5, 0.08, 1) * (1.35 - colour.mean())
    return floats(np.clip(ground * (1 + pattern[..., None]), 0, 1))


def weave(canvas: Canvas, texture: str, u: Plane, v: Plane) -> Plane:
    """Make a texture at these places of the ground (across, along): around 0, darker below."""
    if texture == "veins":
        return crack(canvas, u, v)
    across, along, strength = TEXTURES[texture]
    where = u * 170 * across, v * 170 * along
    grain = noise(canvas, 30, *where) * 0.5 + noise(canvas, 110, *where) * 0.5 - 0.5
    if texture == "planks":
        board = np.floor(u * 6)
        tone = canvas.rng.uniform(-0.8, 0.8, 256)[board.astype(int) % 256]
        gap = np.exp(-(((u * 6 - board - 0.5) ** 2 - 0.25) ** 2) * 11000 / v)
        grain = grain + 0.5 * tone - 0.9 * gap
    return floats(grain * strength)


def crack(canvas: Canvas, u: Plane, v: Plane) -> Plane:
    """Draw the veins of marble: the ridges of warped noise, here strong and there faint."""
    bend = noise(canvas, 14, u * 150, v * 150)
    out = np.zeros_like(u)
    for cells, sharp, deep in ((5, 55, 0.55), (11, 45, 0.28)):
        field = noise(canvas, cells, u * 150 + bend * 60, v * 150 + u * 60 - bend * 60)
        strong = noise(canvas, 7, u * 150 + 90, v * 150)
        out -= deep * np.exp(-np.abs(field - 0.5) * sharp) * np.clip(strong * 2.4 - 0.7, 0, 1)
    return floats(out + 0.16 * (noise(canvas, 9, u * 130, v * 130) - 0.5))


def noise(canvas: Canvas, cells: int, u: Plane, v: Plane) -> Plane:
    """Look smooth noise up, 0 to 1, from an endless tile of 512 units that has so many cells a side."""
    small = np.pad(canvas.rng.random((cells, cells), np.float32), 2, mode="wrap")
    part = 2 * 512 // cells
    tile = np.ascontiguousarray(resize(small, 512 + 2 * part, 512 + 2 * part)[part:-part, part:-part])
    u, v = np.mod(u, 511), np.mod(v, 511)
    return floats(
        np.clip(
            cv2.remap(tile, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP),
            0,
            1,
        )
    )


def soft_step(y: Plane, at: Plane | float, width: float) -> Plane:
    """Go from 0 to 1 around a height."""
    part = np.clip((y - at) / width + 0.5, 0, 1)
    return floats(part * part * (3 - 2 * part))


def wave(rng: np.random.Generator, length: int, swings: int) -> Plane:
    """Make a smooth random line, 0 to 1."""
    return floats(np.clip(resize(rng.random((1, swings)), length, 1)[0], 0, 1))


def stand(scene: Plane, product: Plane, corner: tuple[int, int], light: float, gloss: float) -> Plane:
    """Set an RGBA product (0 to 1) on the ground at its upper left corner, with shadow and reflection."""
    left, top = corner
    high, wide = product.shape[:2]
    alpha = np.zeros(scene.shape[:2], np.float32)
    alpha[top : top + high, left : left + wide] = product[..., 3]
    foot = top + high
    lean = -0.6 * light
    squash = floats([[1, -lean, lean * foot], [0, 0.2, foot * 0.8 - 0.015 * high]])
    fading = np.exp(-np.maximum(foot - np.arange(len(alpha), dtype=np.float32), 0) / (0.42 * high))[:, None]
    thrown = floats(cv2.warpAffine(alpha * fading, squash, (scene.shape[1], scene.shape[0])))
    below = np.roll(alpha, max(1, round(0.016 * high)), 0)  # follows the outline: a foot need not be level
    near = soft_step(np.arange(len(alpha), dtype=np.float32), foot - 0.22 * high, 0.24 * high)[:, None]
    shade = np.maximum(0.62 * blur(thrown, high * 0.03), 0.9 * blur(below * near, high * 0.012))
    shade = np.maximum(shade, 0.45 * blur(below * near, high * 0.05))
    out = mix(scene, scene * scene * 0.25, shade)
    room = min(scene.shape[0] - foot, high // 3)
    if gloss and room > 1:
        mirrored = blur(product[::-1][:room], 1 + high / 400)
        span = np.s_[foot : foot + room, left : left + wide]
        fade = np.exp(-np.arange(room, dtype=np.float32) / (0.05 * high))[:, None] * gloss
        out[span] = mix(out[span], mirrored[..., :3], mirrored[..., 3] * fade)
    place = np.s_[top : top + high, left : left + wide]
    bounce = (near[top : top + high] * 0.16)[..., None] * scene[min(foot, len(scene) - 1), left : left + wide].mean(0)
    colours = np.clip(product[..., :3] * (1 - 0.18 * near[top : top + high, :, None]) + bounce * 0.5, 0, 1)
    out[place] = mix(out[place], colours, product[..., 3])
    return out


def grade(picture: Plane, reading: Reading, rng: np.random.Generator) -> Plane:
    """Finish a picture: rain and snow in front of all, then colour and contrast."""
    for what in ("rain", "snow"):
        if much := reading.much(what):
            picture = mix(picture, 0.96, much * fall(what, picture.shape[:2], rng))
    colour, contrast = reading.much("colour", 1.0), reading.much("contrast", 1.0)
    if colour != 1 or contrast != 1:
        grey = picture.mean(-1, keepdims=True)
        picture = (grey + (picture - grey) * colour - 0.45) * contrast + 0.45
    return floats(np.clip(picture, 0, 1))


def fall(what: str, shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Let rain or snow fall: small far away, large and soft near by."""
    out = np.zeros(shape, np.float32)
    for size, count in ((1, 900), (2, 300), (4, 60)):
        for x, y in rng.uniform((0, 0), shape[::-1], (count, 2)):
            reach = size * shape[0] / 700
            if what == "snow":
                cv2.circle(out, (int(x), int(y)), max(1, round(reach * 1.1)), 1.0 - 0.13 * size, -1, cv2.LINE_AA)
            else:
                end = (int(x - reach * 4), int(y + reach * 13))
                cv2.line(out, (int(x), int(y)), end, 0.42 - 0.07 * size, max(1, round(reach / 2)), cv2.LINE_AA)
    return blur(out, shape[0] / 900)
