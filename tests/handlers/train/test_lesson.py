"""What is learnt at which step."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_handlers.train import lesson

many = settings(max_examples=200, deadline=None, database=None, derandomize=True)
sides = st.integers(1, 8192)


@many
@given(width=sides, height=sides, longest=st.integers(8, 64).map(lambda n: n * 32))
def test_a_size_has_the_longer_side_that_was_asked_for_and_the_form_of_the_picture(
    width: int, height: int, longest: int
) -> None:
    wide, high = lesson.fit(width, height, longest)
    assert max(wide, high) == longest
    assert wide % 32 == high % 32 == 0
    assert (wide >= high) == (width >= height) or wide == high
    if max(width, height) <= 4 * min(width, height):
        assert abs(min(wide, high) - longest * min(width, height) / max(width, height)) <= 32
    else:
        assert min(wide, high) >= longest // 4 // 32 * 32


@pytest.mark.parametrize(
    ("given_size", "fitted"),
    [((4032, 3024), (1024, 768)), ((3024, 4032), (768, 1024)), ((900, 900), (1024, 1024)), ((9000, 90), (1024, 256))],
)
def test_common_photos_keep_their_form(given_size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert lesson.fit(*given_size, 1024) == fitted


@many
@given(
    seed=st.integers(0, 2**53), batch=st.integers(1, 5), steps=st.integers(1, 60),
    kinds=st.lists(st.sampled_from([(1024, 768), (768, 1024), (1024, 1024)]), min_size=1, max_size=9),
)  # fmt: skip
def test_a_batch_is_of_one_size_and_no_picture_is_forgotten(
    seed: int, batch: int, steps: int, kinds: list[tuple[int, int]]
) -> None:
    drawn = lesson.draw(seed, kinds, batch, steps)
    assert len(drawn) == steps
    assert all(len(each) == batch and len({kinds[n] for n in each}) == 1 for each in drawn)
    epoch = sum(-(-count // batch) for count in Counter(kinds).values())
    if steps >= epoch:
        assert {number for each in drawn[:epoch] for number in each} == set(range(len(kinds)))


def test_what_comes_at_a_step_does_not_hang_on_how_many_there_are() -> None:
    sizes = [(1024, 768)] * 5 + [(1024, 1024)] * 3
    assert lesson.draw(7, sizes, 2, 40)[:15] == lesson.draw(7, sizes, 2, 15)
    assert lesson.draw(7, sizes, 2, 40) != lesson.draw(8, sizes, 2, 40)


def test_each_step_has_a_chance_of_its_own() -> None:
    seeds = {lesson.seed_of(seed, what) for seed in (1, 2, 12) for what in (1, 2, "sample", "2")}
    assert len(seeds) == 9, "2 and '2' are one"
    assert all(0 <= seed < 2**48 for seed in seeds)


def test_a_curve_has_no_more_points_than_fit_and_leaves_no_step_out() -> None:
    losses = [float(n) for n in range(250)]
    drawn = lesson.curve(losses)
    assert len(drawn) <= 100
    assert (drawn[0], drawn[-1]) == ((3, 1.0), (250, 249.0))
    assert lesson.curve([0.5]) == [(1, 0.5)]
    assert lesson.curve([]) == []
