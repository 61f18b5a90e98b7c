"""What a small request asks for is bounded, and judged soon."""

from contextlib import suppress
from time import process_time
from typing import Any

import pytest

from tests.tools.test_plan import GEN, PHOTO, make, step
from tools.errors import InvalidInput

CUTS = step("cut", "mask", {"image_url": PHOTO, "object_name": "bag"})

#: What is asked for in some kilobytes.
LARGE: dict[str, list[dict[str, Any]]] = {
    "as many jobs as a flow may have": [
        step(f"gen{n}", "generate", {"model_id": 1, "prompt": "${each}, x", "seed": "${each}"}, count=1000)
        for n in range(10)
    ],
    "many jobs with a gap, far from all that could fill it": [
        CUTS,
        *({**CUTS, "id": f"cut{n}", "after": [f"cut{n - 1}" if n else "cut"]} for n in range(490)),
        *(step(f"gen{n}", "generate", count=1000, after=["cut489"]) for n in range(9)),
    ],
    "many ways back": [
        {**CUTS, "id": f"cut{n}", "after": [f"cut{k}" for k in range(max(0, n - 10), n)]} for n in range(499)
    ] + [step("gen", "generate", after=["cut498"])],
    "many names of nobody": [
        {**GEN, "id": f"gen{n}", "after": [f"nobody{n}{k}" for k in range(60)]} for n in range(500)
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", LARGE.values(), ids=LARGE)
def test_a_small_request_is_judged_soon_whatever_it_asks_for(steps: list[dict[str, Any]]) -> None:
    since = process_time()
    with suppress(InvalidInput):
        make(*steps)
    assert process_time() - since < 3


def test_of_many_faults_the_first_hundred_are_named() -> None:
    for wrong in ({f"x{n}": 1 for n in range(500)}, {"prompt": "".join(f"${{gen.x{n}}}" for n in range(500))}):
        with pytest.raises(InvalidInput) as caught:
            make(GEN, step("again", "generate", {"model_id": 1, **wrong}))
        assert len(caught.value.details["errors"]) == 100
