"""How `make load` judges; the load itself is run by hand."""

from time import monotonic

import pytest

from benchmarks.pressure import Calls, beats, growth, judge, percentile


def test_memory_that_grows_is_found_out_and_a_warm_up_is_no_growth() -> None:
    flat = [100.0] * 10 + [500.0] * 290
    assert growth(flat) == pytest.approx(0)
    assert growth([100 + second for second in map(float, range(300))]) > 0.5


def test_any_error_or_a_queue_that_stays_full_falls_short() -> None:
    def short(calls: Calls, drained_s: float) -> set[str]:
        return {figure.name for figure in judge(calls, [1.0] * 60, drained_s) if not figure.ok}

    calls = Calls({"submit": [0.1], "poll": [0.2]}, jobs=["one"])
    assert short(calls, 1) == set()
    assert short(calls, float("inf")) == {"until the queue was empty"}
    calls.errors.append("poll: refused")
    assert short(calls, 1) == {"errors"}


def test_percentiles_are_of_what_was_measured() -> None:
    assert percentile([0.001 * n for n in range(1, 101)], 0.99) == pytest.approx(100)
    assert percentile([], 0.5) == float("inf")


def test_beats_come_at_an_even_pace() -> None:
    began, calls = monotonic(), Calls()
    assert list(beats(0.2, calls)) == [0, 1, 2, 3]
    assert monotonic() - began >= 0.15
