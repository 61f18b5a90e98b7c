"""What the stand-in makes of a graph: pixels that hang on every input, of the size that the real nodes would give."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Graph = Mapping[str, Mapping[str, Any]]


class Painter:
    """Works out single nodes of one graph."""

    def __init__(self, graph: Graph, inputs: Path) -> None:
        self.graph, self.inputs = graph, inputs

    def save(self, node: str, path: Path) -> None:
        """Write what an output node would."""
        if self.graph[node]["class_type"] == "SaveImage":
            self.image(self.source(node, "images")).save(path)
        else:
            self.film(self.source(self.source(node, "video"), "images"), path)

    def source(self, node: str, name: str) -> str:
        return str(self.graph[node]["inputs"][name][0])

    def image(self, node: str) -> Image.Image:
        inputs, cls = self.graph[node]["inputs"], self.graph[node]["class_type"]
        if cls == "LoadImage":
            return Image.open(self.inputs / inputs["image"]).convert("RGB")
        if cls == "MaskToImage":
            return Image.merge("RGB", [self.mask(self.source(node, "mask"))] * 3)
        if cls == "ImageScaleToTotalPixels":
            return self.scaled(self.image(self.source(node, "image")), inputs)
        return self.noise(node, self.size(self.source(node, "samples")))

    def scaled(self, image: Image.Image, inputs: Mapping[str, Any]) -> Image.Image:
        by = math.sqrt(inputs["megapixels"] * 2**20 / (image.width * image.height))
        step = inputs["resolution_steps"]
        return image.resize((round(image.width * by / step) * step, round(image.height * by / step) * step))

    def size(self, node: str) -> tuple[int, int]:
        """Give the size, in pixels, of the picture in a latent."""
        inputs, cls = self.graph[node]["inputs"], self.graph[node]["class_type"]
        if "width" in inputs:
            return inputs["width"] // 8 * 8, inputs["height"] // 8 * 8
        if cls == "VAEEncode":
            return self.image(self.source(node, "pixels")).size
        return self.size(self.source(node, "samples" if cls == "SetLatentNoiseMask" else "latent_image"))

    def mask(self, node: str) -> Image.Image:
        """Give the ellipse in the box of what differs from the first pixel, grown and blurred."""
        inputs, cls = self.graph[node]["inputs"], self.graph[node]["class_type"]
        if cls == "GrowMaskWithBlur":
            cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
            mask = np.asarray(self.mask(self.source(node, "mask")))
            grown = np.asarray(cv2.dilate(mask, cross, iterations=inputs["expand"])) if inputs["expand"] else mask
            return Image.fromarray(grown).filter(ImageFilter.GaussianBlur(inputs["blur_radius"]))
        image = self.image(self.source(node, "image"))
        plane = Image.new("L", image.size)
        if box := box_of(image):
            ImageDraw.Draw(plane).ellipse(box, fill=255)
        return plane

    def noise(self, node: str, size: tuple[int, int]) -> Image.Image:
        rng = np.random.default_rng(int(self.digest(node), 16))
        return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))

    def film(self, node: str, path: Path) -> None:
        size, source = self.size(self.source(node, "samples")), self.source(node, "samples")
        while "length" not in self.graph[source]["inputs"]:
            source = self.source(source, "latent_image")
        still = np.asarray(self.noise(node, size))
        with av.open(str(path), "w") as film:
            stream = film.add_stream("libx264", rate=16)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for _ in range((self.graph[source]["inputs"]["length"] - 1) // 4 * 4 + 1):
                film.mux(stream.encode(av.VideoFrame.from_ndarray(still, "rgb24")))
            film.mux(stream.encode(None))

    def digest(self, node: str) -> str:
        """Name a node by its class and all that it is made from; two of one name give the same."""
        inputs = self.graph[node]["inputs"]
        told = {name: self.digest(value[0]) if is_link(value) else value for name, value in inputs.items()}
        if self.graph[node]["class_type"] == "LoadImage":
            told["image"] = hashlib.sha256((self.inputs / inputs["image"]).read_bytes()).hexdigest()
        said = json.dumps([self.graph[node]["class_type"], told], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


def box_of(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Find what differs from the first pixel, as the toy detector does."""
    pixels = np.asarray(image).astype(int)
    rows, columns = np.nonzero(np.abs(pixels - pixels[0, 0]).max(-1) > 25)
    return (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())) if len(rows) else None


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
