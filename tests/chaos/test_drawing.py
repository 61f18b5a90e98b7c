"""What is asked for and what goes wrong come of a seed alone."""

from collections import Counter

from tests.chaos import order, plan


def test_a_thousand_jobs_are_200_in_chains_of_five_and_50_chords_and_the_rest_alone() -> None:
    drawn = order.draw(1, 1000, 300)
    forms = Counter(one.form for one in drawn)
    assert (forms["chain"], forms["chord"]) == (40, 50)
    assert forms["http"] > forms["python"] > 100
    assert sum(len(one.steps) for one in drawn) == 1000
    assert {len(one.steps) for one in drawn if one.form == "chain"} == {5}


def test_a_seed_names_order_try_and_step() -> None:
    for one in order.draw(2, 100, 60):
        for step in range(len(one.steps)):
            assert order.of_seed(one.seed(7, step)) == (one.n, 7, step)
            assert one.kwargs(7, step)["seed"] == one.seed(7, step)


def test_some_jobs_outlast_every_lease_some_their_time_and_some_are_cancelled() -> None:
    drawn = [one for one in order.draw(3, 1000, 300) if len(one.steps) == 1]
    assert any(one.steps[0].seconds > 60 for one in drawn)
    assert any(one.steps[0].ends == ("failed", "execution_timeout") for one in drawn)
    assert any(one.steps[0].ends == ("failed", "object_not_found") for one in drawn)
    assert any(one.cancel_after_s is not None for one in drawn)
    assert any(one.keyed for one in drawn)
    assert {one.steps[0].tool for one in drawn} == {"near", "far"}


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    assert order.draw(4, 50, 60) == order.draw(4, 50, 60) != order.draw(5, 50, 60)
    assert plan.draw(4, 20, 60) == plan.draw(4, 20, 60) != plan.draw(5, 20, 60)


def test_a_hundred_kills_meet_everybody_and_every_other_blow_comes_too() -> None:
    blows = plan.draw(1, 100, 360)
    kinds = Counter(blow.kind for blow in blows)
    assert kinds["kill"] == 100
    assert {blow.part for blow in blows if blow.kind == "kill"} == set(plan.KILLS)
    assert {blow.part for blow in blows if blow.kind == "stop"} == set(plan.STOPS)
    assert kinds["flush"] >= 5
    assert {blow.name for blow in blows} >= {"run drop accepted", "webhooks x0", "early", "forget_running", "forge"}


def test_blows_come_all_the_time_and_in_order() -> None:
    times = [blow.at_s for blow in plan.draw(1, 50, 100)]
    assert times == sorted(times)
    assert 0 <= times[0] < 5
    assert 95 < times[-1] <= 100


def test_a_gpu_worker_never_stands_still_for_so_long_that_it_counts_as_dead() -> None:
    stops = [blow for seed in range(20) for blow in plan.draw(seed, 100, 300) if blow.kind == "stop"]
    assert max(blow.lasts_s for blow in stops if blow.part == "gpu") <= 20
    assert max(blow.lasts_s for blow in stops if blow.part != "gpu") > 25
