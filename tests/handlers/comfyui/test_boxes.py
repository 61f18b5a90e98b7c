"""Our node between the detector and the segmenter."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_handlers.mask import boxes
from tests.handlers.comfyui.validation import OBJECT_INFO

SMALL, LARGE = [10.0, 10.0, 20.0, 20.0], [0.0, 0.0, 100.0, 50.0]
FLAT = [5.0, 5.0, 5.0, 40.0]


@pytest.mark.parametrize(("select", "chosen"), [("best", [SMALL]), ("largest", [LARGE]), ("all", [SMALL, LARGE])])
def test_boxes_are_chosen_for_each_picture(select: str, chosen: list[list[float]]) -> None:
    data = [{"bboxes": [FLAT, SMALL, LARGE], "labels": ["a", "b", "c"]}] * 2
    assert boxes.GroundingToBBoxes().take(data, select) == ([chosen, chosen], 2 * len(chosen))


@pytest.mark.parametrize("found", [[], [FLAT]])
def test_no_box_is_an_error_by_name(found: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"^OBJECT_NOT_FOUND"):
        boxes.GroundingToBBoxes().take([{"bboxes": found, "labels": []}], "best")


def test_it_is_what_the_graph_was_checked_against() -> None:
    node = boxes.NODE_CLASS_MAPPINGS["GroundingToBBoxes"]
    real: dict[str, Any] = OBJECT_INFO["GroundingToBBoxes"]
    told = {name: list(spec) for name, spec in node.INPUT_TYPES()["required"].items()}
    assert (told, list(node.RETURN_TYPES)) == (real["input"]["required"], real["output"])


def test_the_file_stands_alone_in_comfyui(tmp_path: Path) -> None:
    (tmp_path / "packshot_boxes.py").write_text(Path(boxes.__file__).read_text())
    code = "import packshot_boxes, sys; print(sorted({'torch', 'gpu_handlers', 'tools'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
