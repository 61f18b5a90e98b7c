"""The graphs, filled: a real server's own rules take every one of them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_handlers.comfyui import manifest
from gpu_handlers.comfyui.fill import fill
from gpu_handlers.generate import gpu as generate
from gpu_handlers.inpaint import gpu as inpaint
from gpu_handlers.mask import gpu as mask
from gpu_handlers.video import gpu as video
from tests.handlers.comfyui.validation import OBJECT_INFO, Refused, Validator
from tools import catalog
from tools.texts import clean

GRAPHS = {"generate": generate.graph, "mask": mask.graph, "inpaint": inpaint.graph, "video": video.graph}
FILES = {"image": "j/scene.png", "scene": "j/scene.png", "mask": "j/mask.png", "reference": "j/r.png", "lora": "l.st"}
PROFILES = [(tool, profile) for tool in GRAPHS for profile in manifest.manifest(tool).profiles]
LOADERS = [
    ("UNETLoader", "unet_name"),
    ("CLIPLoader", "clip_name"),
    ("DualCLIPLoader", "clip_name1"),
    ("DualCLIPLoader", "clip_name2"),
    ("VAELoader", "vae_name"),
    ("CLIPVisionLoader", "clip_name"),
    ("Florence2ModelLoader", "model"),
    ("DownloadAndLoadSAM2Model", "model"),
    ("LoraLoader", "lora_name"),
]

many = settings(max_examples=150, deadline=None, database=None, derandomize=True)
seeds = st.sampled_from([0, 1, 2**53 - 1]) | st.integers(0, 2**53 - 1)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60).filter(
    clean
)
steps = st.integers(1, 100)


def sides(low: int, high: int, area: int) -> st.SearchStrategy[tuple[int, int]]:
    side = st.integers(low // 16, high // 16).map(lambda number: number * 16)
    return st.tuples(side, side).filter(lambda pair: pair[0] * pair[1] <= area)


def sized(low: int, high: int, area: int, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    pairs = sides(low, high, area)
    return st.builds(
        lambda pair, rest: {"width": pair[0], "height": pair[1], **rest}, pairs, st.fixed_dictionaries(more)
    )


PARAMS = {
    "generate": sized(256, 4096, 2**22, model_id=st.just(1), prompt=words, seed=seeds, num_inference_steps=steps,
                      negative_prompt=words | st.just(""), lora_scale=st.floats(0, 2), guidance_scale=st.floats(0, 30)),
    "mask": st.fixed_dictionaries({"image_url": st.just("r2://b/uploads/x.png"), "object_name": words, "seed": seeds,
                                   "mask_dilation": st.integers(0, 512), "mask_blur": st.integers(0, 512)}),
    "inpaint": st.fixed_dictionaries({"scene_url": st.just("r2://b/masks/x.png"), "prompt": words | st.just(""),
                                      "reference_url": st.just("r2://b/uploads/x.png"), "seed": seeds, "steps": steps,
                                      "denoise": st.floats(0, 1), "guidance": st.floats(0, 30)}),
    "video": sized(128, 1280, 1280 * 720, image_url=st.just("r2://b/uploads/x.png"), prompt=words, seed=seeds,
                   length=st.integers(1, 30).map(lambda n: 4 * n + 1), steps=steps),
}  # fmt: skip

#: Where each param of the seed arrives, by the tool, or by a graph that is not its first.
NODES = {
    "generate": {"prompt": ["30.text"], "negative_prompt": ["31.text"], "width": ["40.width"], "height": ["40.height"],
                 "lora_scale": ["20.strength_model", "20.strength_clip"], "num_inference_steps": ["50.steps"],
                 "seed": ["50.seed"], "guidance_scale": ["50.cfg"]},
    "graph_flux2.json": {
        "prompt": ["30.text"], "negative_prompt": ["31.text"], "width": ["40.width", "52.width"],
        "height": ["40.height", "52.height"], "lora_scale": ["20.strength_model", "20.strength_clip"],
        "num_inference_steps": ["52.steps"], "seed": ["50.noise_seed"], "guidance_scale": ["54.cfg"],
    },
    "mask": {"object_name": ["21.text_input"], "seed": ["21.seed"], "mask_dilation": ["40.expand"]},
    "inpaint": {"prompt": ["30.text"], "seed": ["50.noise_seed"], "guidance": ["31.guidance"]},
    "video": {"prompt": ["30.text"], "width": ["40.width"], "height": ["40.height"], "length": ["40.length"]},
}  # fmt: skip


def installed() -> dict[str, Any]:
    """Give the real definitions, with the files of every profile in the lists of the loaders."""
    info = copy.deepcopy(OBJECT_INFO)
    names = [name for _, profile in PROFILES for name in profile.names.values()] + ["l.st"]
    for cls, field in LOADERS:
        info[cls]["input"]["required"][field] = [names]
    return info


VALIDATOR = Validator(installed(), lambda name: name.startswith("j/"))


@pytest.mark.parametrize(("tool", "profile"), PROFILES, ids=[profile.name for _, profile in PROFILES])
@many
@given(data=st.data())
def test_every_legal_request_makes_a_graph_that_comfyui_takes(tool: str, profile: manifest.Profile, data: Any) -> None:
    params = catalog.find(tool).check(data.draw(PARAMS[tool]))
    graph = GRAPHS[tool](params, {**FILES, **profile.names})  # type: ignore[operator]  # each takes its tool's params
    assert VALIDATOR.check(graph) == (["70"], {})
    assert json.loads(json.dumps(graph, allow_nan=False)) == graph
    for name, places in NODES.get(profile.graph, NODES[tool]).items():
        for place in places:
            node, field = place.split(".")
            told = getattr(params, name)
            assert graph[node]["inputs"][field] == (2**53 if (tool, name, told) == ("mask", "seed", 0) else told)


@pytest.mark.parametrize(("tool", "profile"), PROFILES, ids=[profile.name for _, profile in PROFILES])
def test_every_file_of_a_profile_is_in_its_graph(tool: str, profile: manifest.Profile) -> None:
    params = catalog.find(tool).check({name: value for name, value in SMALL[tool].items() if value is not None})
    graph = GRAPHS[tool](params, {**FILES, **profile.names})  # type: ignore[operator]  # each takes its tool's params
    told = [value for node in graph.values() for value in node["inputs"].values() if isinstance(value, str)]
    assert set(profile.names.values()) <= set(told)
    assert not [text for text in told if text.endswith(".safetensors") and text not in profile.names.values()]


SMALL: dict[str, dict[str, Any]] = {
    "generate": {"model_id": 1, "prompt": "x", "seed": 1},
    "mask": {"image_url": "r2://b/uploads/x.png", "object_name": "x", "seed": 1},
    "inpaint": {"scene_url": "r2://b/masks/x.png", "reference_url": "r2://b/uploads/x.png", "seed": 1},
    "video": {"image_url": "r2://b/uploads/x.png", "seed": 1},
}


@many
@given(blur=st.integers(0, 512), scale=st.floats(0.03, 1))
def test_a_fade_of_so_many_pixels_is_a_gaussian_that_its_node_takes(blur: int, scale: float) -> None:
    params = catalog.find("mask").check({**SMALL["mask"], "mask_blur": blur})
    radius = mask.graph(params, {**FILES, **manifest.profile("mask").names}, scale)["40"]["inputs"]["blur_radius"]  # type: ignore[arg-type]  # mask's own
    assert radius == pytest.approx(blur * scale / 5.12, abs=0.006)
    assert 0 <= radius <= 100


@many
@given(steps=st.integers(1, 100), denoise=st.floats(0, 1))
def test_as_many_steps_are_done_as_were_asked_for_whatever_the_denoise(steps: int, denoise: float) -> None:
    total, share = inpaint.schedule(steps, denoise)
    assert 1 <= total <= 4096
    assert 0 <= share <= 1
    if denoise > steps / 4096:
        assert round(total * share) == steps
        assert abs(share - denoise) <= 0.5 * denoise  # a schedule has whole steps


@pytest.mark.parametrize("steps", [1, 2, 3, 20, 25])
def test_both_experts_share_the_steps(steps: int) -> None:
    params = catalog.find("video").check({**SMALL["video"], "steps": steps})
    graph = video.graph(params, {**FILES, **manifest.manifest("video").find("wan2.2-14b").names})  # type: ignore[arg-type]  # video's own
    first, second = graph["50"]["inputs"], graph["51"]["inputs"]
    assert (first["steps"], second["steps"]) == (steps, steps)
    assert first["start_at_step"] == 0
    assert first["end_at_step"] == second["start_at_step"] >= 1
    assert second["end_at_step"] >= steps


def test_a_node_or_input_that_a_graph_lacks_is_no_silent_gap() -> None:
    with pytest.raises(KeyError, match="no input"):
        fill("mask", "graph.json", {"21": {"sed": 1}})


REFUSALS: dict[str, Any] = json.loads((Path(__file__).parent / "refusals.json").read_bytes())

#: By the name of a real refusal: what was wrong with the graph that got it.
MISTAKES: dict[str, Any] = {
    "value_not_in_list": {"20": {"lora_name": "missing.safetensors"}},
    "value_smaller_than_min": {"50": {"steps": 0}},
    "value_bigger_than_max": {"50": {"cfg": 101.0}},
    "invalid_input_type": {"50": {"seed": "abc"}},
    "negative_seed": {"50": {"seed": -1}},
    "seed_too_big": {"50": {"seed": 2**64}},
    "return_type_mismatch": {"60": {"samples": ["12", 0]}},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_stand_in_refuses_in_the_words_of_the_real_server(name: str) -> None:
    names = manifest.manifest("generate").profiles[0].names
    params = catalog.find("generate").check(SMALL["generate"])
    graph = generate.graph(params, {**names, "lora": "trained_lora.safetensors"})  # type: ignore[arg-type]  # generate's own
    for node, inputs in MISTAKES[name].items():
        graph[node]["inputs"] |= inputs
    with pytest.raises(Refused) as refused:
        Validator(OBJECT_INFO, lambda _: True).check(graph)
    assert refused.value.body == REFUSALS[name]["body"]


def test_the_stand_in_refuses_a_class_that_is_not_there() -> None:
    graph = {"1": {"class_type": "NoSuchNode", "inputs": {}, "_meta": {"title": "Sampler"}}}
    with pytest.raises(Refused) as refused:
        VALIDATOR.check(graph)
    told = refused.value.body["error"]
    real = REFUSALS["missing_node_type"]["body"]["error"]
    assert (told["type"], told["message"]) == (real["type"], real["message"])
    assert told.keys() == real.keys()


def test_the_stand_in_refuses_an_input_that_a_class_does_not_have() -> None:
    graph = fill("mask", "graph.json", {"10": {"image": "j/x.png"}})
    graph["40"]["inputs"]["blurr"] = 1
    with pytest.raises(Refused) as refused:
        VALIDATOR.check(graph)
    assert refused.value.body["node_errors"]["40"]["errors"][0]["type"] == "unknown_input"
