"""A flow is checked whole before anything of it runs, and each refusal says what to do."""

from typing import Any

import pytest

from tools import flow, plan
from tools.binding import bind
from tools.catalog import TOOLS
from tools.errors import InvalidInput
from tools.plan import Ready
from tools.references import Handed

PHOTO = "r2://packshot/uploads/a.png"


def step(name: str, tool: str, told: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "tool": tool, "with": told or {}, **more}


GEN = step("gen", "generate", {"model_id": 1, "prompt": "a TOK"})
CUT = step("cut", "mask", {"image_url": "${gen.r2_path}", "object_name": "bag"})
FILL = step("fill", "inpaint", {"scene_url": "${cut.r2_path}", "reference_url": PHOTO})
CLIP = step("clip", "video", {"image_url": "${fill.r2_path}"})
FILM = step("film", "video", {"image_url": "${gen.r2_path}"})
TRAIN = step("train", "train", {"images": "r2://packshot/datasets/a.zip", "model_name": "M", "trigger_word": "TOK"})
WORDS = step("words", "resolve_template", {"template_id": "t", "trigger_word": "TOK"})


def make(*steps: dict[str, Any], **more: Any) -> dict[str, Ready]:
    return {ready.step.id: ready for ready in plan.make(flow.parse({"steps": list(steps), **more}))}


#: What is asked for, and what the answer says.
WRONG: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "unknown tool": ([{**GEN, "tool": "genrate"}], {}, "gen: there is no tool genrate. Did you mean generate?"),
    "strange tool": ([{**GEN, "tool": "xyz"}], {}, "gen: there is no tool xyz. There are train, resolve_template"),
    "unknown field": (
        [step("gen", "generate", {"model_id": 1, "prompt": "x", "promt": "y"})], {},
        "gen.promt: there is no such field. Did you mean prompt",
    ),
    "unknown key of a step": ([{**GEN, "wiht": {}}], {}, "0.wiht: there is no such field. Did you mean with?"),
    "unknown key of the flow": ([GEN], {"step": []}, "step: there is no such field. Did you mean steps?"),
    "no steps": ([], {}, "steps: List should have at least 1 item"),
    "a step that is no object": (["gen"], {}, "0: Input should be a valid dictionary or instance of Step."),
    "no id": ([{"tool": "generate"}], {}, "0.id: this is required."),
    "no tool": ([{"id": "gen"}], {}, "0.tool: this is required."),
    "an id that no reference can name": ([{**GEN, "id": "my gen"}], {}, "0.id: write it with A-Z"),
    "an id that begins with a digit": ([{**GEN, "id": "0"}], {}, "0.id: write it with A-Z"),
    "an id that means something else": ([{**GEN, "id": "inputs"}], {}, "inputs means something else in a flow"),
    "two steps of one name": ([GEN, {**GEN}, {**FILM, "id": "gen"}], {}, "two steps are called gen"),
    "unknown step": (
        [GEN, step("film", "video", {"image_url": "${gem.r2_path}"})], {},
        "film: ${gem.r2_path} names no step of this flow. Did you mean gen?",
    ),
    "unknown step in a text": (
        [step("gen", "generate", {"model_id": 1, "prompt": "a ${word.resolved_prompt} bag"}), WORDS], {},
        "gen: ${word.resolved_prompt} names no step of this flow. Did you mean words?",
    ),
    "unknown step in after": ([{**GEN, "after": ["trian"]}, TRAIN], {}, "gen: trian names no step of this flow. Did"),
    "unknown field of a result": (
        [GEN, step("film", "video", {"image_url": "${gen.r2path}"})], {},
        "film.image_url: ${gen.r2path} names no field of that result. Did you mean r2_path?",
    ),
    "unknown field deep in a result": (
        [GEN, step("film", "video", {"image_url": "${gen.r2_path}", "seed": "${gen.generation_params.sed}"})], {},
        "film.seed: ${gen.generation_params.sed} names no field of that result.",
    ),
    "a field of a text": (
        [GEN, step("film", "video", {"image_url": "${gen.r2_path.x}"})], {},
        "film.image_url: ${gen.r2_path.x} names no field of that result.",
    ),
    "itself": ([step("film", "video", {"image_url": "${film.r2_path}"})], {}, "wait for each other: film → film."),
    "a circle of two": (
        [{**CUT, "after": ["fill"]}, FILL, GEN], {}, "these steps wait for each other: cut → fill → cut.",
    ),
    "a circle of three": (
        [step("a", "video", {"image_url": PHOTO}, after=["c"]), step("b", "video", {"image_url": PHOTO}, after=["a"]),
         step("c", "video", {"image_url": PHOTO}, after=["b"])], {}, "these steps wait for each other: a → b → c → a.",
    ),
    "a video for an image": (
        [GEN, {**FILM, "id": "cut"}, step("again", "video", {"image_url": "${cut.r2_path}"})], {},
        "again.image_url wants image, cut.r2_path gives video.",
    ),
    "a text for an image": (
        [WORDS, step("film", "video", {"image_url": "${words.resolved_prompt}"})], {},
        "film.image_url wants image, words.resolved_prompt gives prompt.",
    ),
    "a path of ours for an image": (
        [GEN, step("film", "video", {"image_url": "${gen.image_url}"})], {},
        "film.image_url wants image, gen.image_url gives string.",
    ),
    "an image for a prompt": (
        [GEN, step("again", "generate", {"model_id": 1, "prompt": "${gen.r2_path}"})], {},
        "again.prompt wants prompt, gen.r2_path gives image.",
    ),
    "a text for a number": (
        [WORDS, step("film", "video", {"image_url": PHOTO, "seed": "${words.resolved_prompt}"})], {},
        "film.seed wants integer, words.resolved_prompt gives prompt.",
    ),
    "a model for a number": (
        [TRAIN, step("film", "video", {"image_url": PHOTO, "seed": "${train.model_id}"})], {},
        "film.seed wants integer, train.model_id gives lora.",
    ),
    "a list for one image": (
        [{**GEN, "count": 2}, FILM], {}, "film.image_url wants image, gen.r2_path gives a list of image.",
    ),
    "a file inside of a text": (
        [GEN, step("film", "video", {"image_url": "${gen.r2_path}.png"})], {},
        "film.image_url: an address is given whole, or by a reference that stands alone.",
    ),
    "a gap that nobody fills": ([step("film", "video")], {}, "film.image_url wants image: give it, or put generate or"),
    "a gap that the step before does not fill": (
        [GEN, FILM, step("again", "video", after=["film"])], {}, "again.image_url wants image: give it, or put",
    ),
    "a gap that two steps fill": (
        [GEN, {**GEN, "id": "gen2"}, step("film", "video", after=["gen", "gen2"])], {},
        "film.image_url: 2 results give image: say which by a reference, such as ${gen.r2_path}",
    ),
    "what only the caller can give": (
        [GEN, CUT, step("fill", "inpaint", after=["cut"])], {}, "fill.reference_url: this is required.",
    ),
    "a number out of its range": (
        [step("film", "video", {"image_url": PHOTO, "length": 34})], {},
        "film.length: must be 4n+1. Did you mean 33 or 37?",
    ),
    "too many pixels": (
        [step("film", "video", {"image_url": PHOTO, "width": 1280, "height": 1280})], {},
        "film.width: width × height must not exceed 1280×720 pixels.",
    ),
    "a time that its tool does not have": (
        [step("film", "video", {"image_url": PHOTO, "timeout_seconds": 5000})], {},
        "film.timeout_seconds: Input should be less than or equal to 1200.",
    ),
    "an input that was not given": (
        [step("gen", "generate", {"model_id": "${inputs.model}", "prompt": "x"})], {"inputs": {"modle": 1}},
        "gen.model_id: ${inputs.model} names no input that was given (given: modle).",
    ),
    "one of two inputs that was not given": (
        [step("gen", "generate", {"model_id": 1, "prompt": "${inputs.a} ${inputs.b}"})], {"inputs": {"a": "x"}},
        "gen.prompt: ${inputs.b} names no input that was given (given: a).",
    ),
    "an input inside of a text that is none": (
        [step("gen", "generate", {"model_id": 1, "prompt": "a ${inputs.size} bag"})], {"inputs": {"size": {}}},
        "gen.prompt: ${inputs.size} is neither a text nor a number, so it cannot stand inside of a text.",
    ),
    "a field that an input does not have": (
        [step("gen", "generate", {"model_id": "${inputs.of.modle}", "prompt": "x"})], {"inputs": {"of": {"model": 1}}},
        "gen.model_id: ${inputs.of.modle} names no field of that result. Did you mean model?",
    ),
    "a number that an input does not have": (
        [{**GEN, "foreach": "${inputs.words.3}"}], {"inputs": {"words": ["a"]}},
        "gen.foreach: ${inputs.words.3} names a result that is not there: there are 1, from 0.",
    ),
    "an input out of its range": (
        [step("gen", "generate", {"model_id": "${inputs.model}", "prompt": "x"})], {"inputs": {"model": 0}},
        "gen.model_id: Input should be greater than or equal to 1.",
    ),
    "a number that is none to Python": (
        [{**GEN, "count": 2}, step("film", "video", {"image_url": "${gen.².r2_path}"})], {},
        "film.image_url: ${gen.².r2_path} names no field of that result.",
    ),
    "a number of more digits than Python reads": (
        [{**GEN, "count": 2}, step("film", "video", {"image_url": f"${{gen.{'1' * 5000}.r2_path}}"})], {},
        "names no field of that result.",
    ),
    "a number of an input that is none to Python": (
        [step("gen", "generate", {"model_id": 1, "prompt": "${inputs.words.²}"})], {"inputs": {"words": ["a"]}},
        "gen.prompt: ${inputs.words.²} names no",
    ),
    "each of nothing": (
        [step("gen", "generate", {"model_id": 1, "prompt": "${each}"})], {},
        "gen: ${each} stands for a member of foreach, or a number below count, and there is neither.",
    ),
    "count and foreach": ([{**GEN, "count": 2, "foreach": [1]}], {}, "gen: give count or foreach, not both."),
    "no count at all": ([{**GEN, "count": 0}], {}, "gen: count is a whole number from 1 to 1000."),
    "a count that is a text": ([{**GEN, "count": "4"}], {}, "gen: count is a whole number from 1 to 1000."),
    "each of an empty list": ([{**GEN, "foreach": []}], {}, "gen: foreach takes 1 to 1000 members."),
    "each of a text": ([{**GEN, "foreach": "abc"}], {}, "gen: foreach wants a list, or a reference to one."),
    "each of what is no list": (
        [GEN, {**FILM, "foreach": "${gen.r2_path}"}], {}, "film: foreach wants a list, gen.r2_path gives image.",
    ),
    "a bad member of a list": (
        [step("gen", "generate", {"model_id": 1, "prompt": "${each}"}, foreach=["a", ""])], {},
        "gen.prompt: String should have at least 1 character.",
    ),
    "more jobs than a flow may have": (
        [{**GEN, "id": f"gen{n}", "count": 1000} for n in range(11)], {},
        "steps: this makes 11000 jobs; 10000 is the most (docs/flows.md).",
    ),
    "a short text that becomes a long one": (
        [step("gen", "generate", {"model_id": 1, "prompt": "${each}" * 1000}, foreach=["y" * 10_000])], {},
        "steps: with its references read, this tells the jobs 10007029 characters; 4000000 is the most (docs/flows.md)",
    ),
    "an input that stands too often": (
        [step("gen", "generate", {"model_id": 1, "prompt": "${inputs.y}" * 1000})], {"inputs": {"y": "y" * 10_000}},
        "inputs: with its references read, this tells the jobs 10000000 characters; 4000000 is the most",
    ),
    "an unknown way to fail": ([{**GEN, "on_error": "ignore"}], {}, "0.on_error: Input should be 'fail' or 'skip'."),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "more", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_flow_is_refused_with_a_sentence(steps: list[Any], more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(*steps, **more)
    assert sentence in str(caught.value)
    errors = caught.value.details["errors"]
    assert all(error["pointer"].startswith("/") and error["code"] and error["detail"] for error in errors)


def test_there_are_forty_of_them_and_more() -> None:
    assert len(WRONG) >= 40


def test_all_that_is_wrong_is_named_at_once_and_where() -> None:
    with pytest.raises(InvalidInput) as caught:
        make(step("gen", "generate", {"model_id": 0, "prompt": "x"}), step("film", "video", {"length": 34}))
    found = [error["pointer"] for error in caught.value.details["errors"]]
    assert found == ["/steps/0/with/model_id", "/steps/1/with/length"]


def test_an_input_that_cannot_be_used_is_not_called_missing() -> None:
    gen = step("gen", "generate", {"model_id": "${inputs.model}", "prompt": "a ${inputs.size} bag"})
    with pytest.raises(InvalidInput) as caught:
        make(gen, inputs={"size": {}})
    assert [(one["pointer"], one["code"]) for one in caught.value.details["errors"]] == [
        ("/steps/0/with/model_id", "missing_input"), ("/steps/0/with/prompt", "invalid_input"),
    ]  # fmt: skip


def test_steps_are_put_in_an_order_in_which_they_can_run() -> None:
    made = make(CLIP, FILL, CUT, GEN)
    assert list(made) == ["gen", "cut", "fill", "clip"]
    assert {name: ready.before for name, ready in made.items()} == {
        "gen": [], "cut": ["gen"], "fill": ["cut"], "clip": ["fill"],
    }  # fmt: skip


def test_gaps_are_filled_from_the_steps_before_as_in_a_canvas() -> None:
    words = step("words", "resolve_template", {"template_id": "t"}, after=["train"])
    gen, cut = step("gen", "generate", after=["words"]), step("cut", "mask", {"object_name": "bag"}, after=["gen"])
    assert list(make(TRAIN, words, gen, cut)) == ["train", "words", "gen", "cut"]


def test_what_fits_is_let_pass() -> None:
    files = {"scene_url": "${gen.r2_path}", "mask_url": "${cut.r2_path}", "reference_url": PHOTO}
    fill = step("fill", "inpaint", files)
    again = step("again", "generate", {
        "model_id": "${gen.model_id}", "prompt": "${gen.prompt}, at ${gen.generation_params.seed}",
        "seed": "${gen.generation_params.seed}", "lora_scale": "${gen.generation_params.width}",
    })  # fmt: skip
    named = step("named", "mask", {"image_url": PHOTO, "object_name": "${train.trigger_word}"})
    assert set(make(GEN, CUT, fill, again, TRAIN, named)) == {"gen", "cut", "fill", "again", "train", "named"}


def test_inputs_stand_in_any_value_and_in_texts() -> None:
    made = make(
        step("gen", "generate", {"model_id": "${inputs.model}", "prompt": "a ${inputs.word} on ${each}"},
             foreach="${inputs.grounds}"),
        inputs={"model": 3, "word": "TOK", "grounds": ["sand", "marble"]},
    )  # fmt: skip
    assert made["gen"].items == [
        {"model_id": 3, "prompt": "a TOK on sand"}, {"model_id": 3, "prompt": "a TOK on marble"},
    ]  # fmt: skip


def test_a_step_is_spread_over_the_jobs_of_another_with_a_result_each() -> None:
    made = make({**GEN, "count": 3}, step("cut", "mask", {"object_name": "bag"}, foreach="${gen}"))
    assert (made["cut"].spread, made["cut"].many) == ("${gen}", True)
    picked = make({**GEN, "count": 3}, step("film", "video", {"image_url": "${gen.1.r2_path}"}))
    assert picked["film"].before == ["gen"]


def test_members_of_a_list_may_be_references() -> None:
    film = step("film", "video", {"image_url": "${each}"}, foreach=["${gen.r2_path}", "${gen2.r2_path}"])
    made = make(GEN, {**GEN, "id": "gen2"}, film)
    assert made["film"].items == [{"image_url": "${gen.r2_path}"}, {"image_url": "${gen2.r2_path}"}]
    assert made["film"].before == ["gen", "gen2"]


def test_the_count_of_a_step_is_not_the_count_of_its_tool() -> None:
    told = {"model_id": 1, "prompt": "x", "count": 3}
    several = step("gen", "generate", told)
    film = step("film", "video", {"image_url": "${each.r2_path}"}, foreach="${gen.images}")
    made = make(several, film)
    assert (made["gen"].many, made["gen"].items, made["film"].spread) == (False, [told], "${gen.images}")
    both = make({**several, "count": 2})["gen"]
    assert (both.many, both.items) == (True, [told, told])


def test_what_a_result_says_is_never_read_as_a_reference() -> None:
    told = {"model_id": 1, "prompt": "${each}, at night"}
    before = {"a": Handed(None, {"word": "secret"}), "b": Handed(None, {"words": ["${a.word}", "${nobody.x}"]})}
    shares = flow.share([told], "${b.words}", before)
    params = [bind(TOOLS["generate"], one.given, one.upstream, scope=one.scope) for one in shares]
    assert [one.model_dump()["prompt"] for one in params] == ["${a.word}, at night", "${nobody.x}, at night"]
