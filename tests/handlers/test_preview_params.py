"""Every param is at work in the file, or a warning names it; and the page that says how much is true."""

import threading

import pytest
from safetensors import safe_open

from benchmarks.effects import CASES, DOCS, GIVEN, RESHAPED, STRONG, VISIBLE, Look, look, measure, stock
from tests.handlers.workbench import Bench
from tools.errors import Cancelled


@pytest.fixture(scope="module", name="stocked")
def stock_once(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Give a shelf with all that the cases ask for."""
    return stock(tmp_path_factory.mktemp("stocked"))


@pytest.fixture(scope="module", name="first")
def do_as_given(stocked: Bench) -> dict[str, Look]:
    """Do each tool as given."""
    return {tool: look(stocked, tool, params) for tool, params in GIVEN.items()}


@pytest.fixture(scope="module", name="table")
def read_table() -> dict[tuple[str, str], str]:
    """Read what the page says of each param."""
    rows = [line.split(" | ") for line in (DOCS / "effects.md").read_text().splitlines() if line.count(" | ") > 3]
    return {(row[0].strip("| "), row[1].strip("`")): row[4].strip("| ") for row in rows}


@pytest.mark.parametrize(("tool", "name"), CASES)
def test_a_param_is_visible_or_confessed_as_the_page_says(
    stocked: Bench, first: dict[str, Look], table: dict[tuple[str, str], str], tool: str, name: str
) -> None:
    effect = measure(stocked, first[tool], tool, name)
    said = table[tool, name]
    if effect.confessed:
        assert said == "no effect"
        assert effect.change < VISIBLE, "it says that it has no effect, and has one"
    elif effect.change == RESHAPED:
        assert said == "another size"
    else:
        assert effect.change >= STRONG.get(name, VISIBLE)
        assert effect.change == pytest.approx(float(said), rel=0.1, abs=0.2), "measure anew: make effects"


@pytest.mark.parametrize("name", ["model_name", "trigger_word"])
def test_a_model_says_in_its_file_what_it_is_called(first: dict[str, Look], name: str) -> None:
    with safe_open(first["train"].done.path, "np") as file:
        assert GIVEN["train"][name] in file.metadata()["packshot"]


def test_a_model_is_byte_equal_when_it_is_trained_again(stocked: Bench, first: dict[str, Look]) -> None:
    again = look(stocked, "train", GIVEN["train"])
    assert again.done.path.read_bytes() == first["train"].done.path.read_bytes()


@pytest.mark.parametrize("tool", GIVEN)
def test_the_same_seed_gives_the_same_pixels(stocked: Bench, first: dict[str, Look], tool: str) -> None:
    again = look(stocked, tool, GIVEN[tool])
    assert (again.seen == first[tool].seen).all()


@pytest.mark.parametrize("tool", GIVEN)
def test_progress_rises_and_leaves_room_for_the_upload(first: dict[str, Look], tool: str) -> None:
    fractions = [fraction for fraction, _ in first[tool].done.told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] <= fractions[-1] <= 0.95


@pytest.mark.parametrize("tool", GIVEN)
def test_a_handler_stops_when_it_is_told_to(stocked: Bench, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    told = threading.Event()
    told.set()
    monkeypatch.setattr(stocked, "stop", told)
    with pytest.raises(Cancelled):
        look(stocked, tool, GIVEN[tool])
