"""Canvases of any shape of our tasks give what plain Celery gives for tasks that do the same."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from celery import chain, group
from redis import Redis

from tasks.app import app
from tests import rig
from tests.conftest import Processes
from tests.tasks.house import House, wait_for_end

SHAPES = range(10)

#: A shape: steps one after the other, where a list of shapes stands side by side and is always followed by a step.
Shape = list[Any]

#: Makes a task of a word, and of how many results come before it.
Make = Callable[[str, int], Any]


@pytest.fixture(scope="module", name="house")
def run_house(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - they must run
    """Run processes of our own: here they are killed. These canvases need no GPU."""
    starter = Processes(tmp_path_factory.mktemp("shapes"))
    yield House(starter, parts=("main", "watch"))
    starter.end()


def shape(chance: random.Random, depth: int = 2) -> Shape:
    """Make up a shape that ends in one step."""
    steps: Shape = ["step"]
    for _ in range(chance.randint(0, 2)):
        if depth and chance.random() < 0.6:
            steps.append([shape(chance, depth - 1) for _ in range(chance.randint(2, 3))])
        steps.append("step")
    return steps


def build(steps: Shape, make: Make, words: Iterator[int], before: int = 0) -> Any:
    """Build a canvas of a shape."""
    parts = []
    for step in steps:
        if isinstance(step, list):
            parts.append(group(build(member, make, words, before) for member in step))
            before = len(step)
        else:
            parts.append(make(f"w{next(words)}", before))
            before = 1
    return chain(*parts) if len(parts) > 1 else parts[0]


def ours(word: str, before: int) -> Any:
    """Make a job that says its word, and what came before it."""
    return app.tasks["tasks.noop"].s(word=word, heard=[f"${{{n}.word}}" for n in range(before)])


def plain(word: str, _before: int) -> Any:
    """Make a task of other people that does the same."""
    return rig.say.s(word=word)


def test_canvases_of_any_shape_give_what_plain_celery_gives_through_a_kill_and_a_flush(
    house: House, redis_url: str
) -> None:
    shapes = [shape(random.Random(seed)) for seed in SHAPES]
    assert any(isinstance(step, list) for steps in shapes for step in steps)
    wanted = [build(steps, plain, count()).apply_async().get(timeout=120)["word"] for steps in shapes]
    sent = [build(steps, ours, count()).apply_async() for steps in shapes]
    house.kill("main")
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    house.start("main")
    house.pass_time()
    jobs = wait_for_end(*(one.id for one in sent), patience_s=300)
    assert [job["result"] and job["result"]["word"] for job in jobs] == wanted
