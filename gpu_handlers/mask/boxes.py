"""A node for ComfyUI: from what Florence-2 found to the boxes that SAM2 takes.

This file alone is copied into ComfyUI's `custom_nodes`; the pair of nodes that is published for this fails at run time,
as one writes a list of dicts where the other reads a list of lists.
"""

from typing import Any, ClassVar

Box = list[float]


class GroundingToBBoxes:
    """Takes the boxes of each picture out of Florence-2's answer; without any, it fails by a name of its own."""

    RETURN_TYPES = ("BBOX", "INT")
    RETURN_NAMES = ("bboxes", "count")
    FUNCTION = "take"
    CATEGORY = "packshot"
    INPUT_TYPES_OF: ClassVar[dict[str, Any]] = {
        "required": {"data": ("JSON",), "select": (["best", "largest", "all"], {"default": "best"})}
    }

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI calls it so
        """Say what it takes."""
        return cls.INPUT_TYPES_OF

    def take(self, data: list[dict[str, Any]], select: str) -> tuple[list[list[Box]], int]:
        """Give the boxes of each picture (x0, y0, x1, y1, in pixels), and how many there are in all."""
        boxes = [choose([box for box in found["bboxes"] if area(box) > 0], select) for found in data]
        if not all(boxes):
            raise ValueError("OBJECT_NOT_FOUND: the detector returned no box")
        return boxes, sum(map(len, boxes))


def choose(boxes: list[Box], select: str) -> list[Box]:
    """Choose among the boxes of one picture; Florence-2 names the best one first."""
    if select == "all":
        return boxes
    return sorted(boxes, key=area, reverse=True)[:1] if select == "largest" else boxes[:1]


def area(box: Box) -> float:
    """Measure a box, in square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


NODE_CLASS_MAPPINGS = {"GroundingToBBoxes": GroundingToBBoxes}
