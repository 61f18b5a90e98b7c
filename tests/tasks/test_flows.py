"""Flows of any shape give what a plain interpreter gives, whatever is killed or flushed on the way."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis
from sqlalchemy import func, select

from db import course, flow_pages
from db.base import transaction
from db.course import AskedFlow
from db.jobs import Job
from db.traces import Event
from tasks import ending
from tasks.ending import Found
from tests.conftest import Processes, wait_until
from tests.db import rows
from tests.tasks.house import House
from tools import flow, plan
from tools.errors import ObjectNotFound
from tools.outcome import Outcome

#: Seeds of the shapes; each is the same on every machine.
SHAPES = range(12)


@pytest.fixture(scope="module", name="house")
def run_house(database: str, s3: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - they must run
    """Run processes of our own: here they are killed. These flows need no GPU."""
    starter = Processes(tmp_path_factory.mktemp("flows"))
    yield House(starter, parts=("main", "watch"))
    starter.end()


def shape(seed: int) -> list[dict[str, Any]]:
    """Make up a flow of at most 30 steps: chains, fans and joins, some of whose steps fail."""
    chance = random.Random(seed)
    steps: list[dict[str, Any]] = []
    for n in range(chance.randint(5, 30)):
        steps.append(make_step(chance, f"s{n}", steps))
    chance.shuffle(steps)
    return steps


def make_step(chance: random.Random, name: str, before: list[dict[str, Any]]) -> dict[str, Any]:
    """Make up one step behind some of those before."""
    told: dict[str, Any] = {"word": name, "n": chance.randint(0, 3)}
    one: dict[str, Any] = {"id": name, "tool": "noop", "with": told}
    plain = [step["id"] for step in before if not is_many(step)]
    many = [step["id"] for step in before if is_many(step)]
    if plain and chance.random() < 0.6:
        told["word"] = f"${{{chance.choice(plain)}.word}}{name}"
    heard = chance.sample(plain + many, min(len(before), chance.randint(0, 3)))
    told["heard"] = [f"${{{each}.word}}" for each in heard]
    if chance.random() < 0.25:
        spread_out(chance, one, plain, many)
    if plain and chance.random() < 0.2:
        one["after"] = [chance.choice(plain)]
    if chance.random() < 0.15:
        one["with"]["fails"] = True
    if chance.random() < 0.7:
        one["on_error"] = "skip"
    return one


def spread_out(chance: random.Random, one: dict[str, Any], plain: list[str], many: list[str]) -> None:
    """Spread a step over a number, a list, the jobs of another, or a list known only at run time."""
    ways = ["count", "list", *(["words"] if plain else []), *(["jobs"] if many else [])]
    match chance.choice(ways):
        case "count":
            one["count"] = chance.randint(1, 4)
        case "list":
            one["foreach"] = [chance.choice("abc") for _ in range(chance.randint(1, 3))]
        case "words":
            one["foreach"] = f"${{{chance.choice(plain)}.words}}"
        case "jobs":
            one["foreach"] = f"${{{chance.choice(many)}.word}}"
    one["with"]["word"] += "/${each}"


def is_many(step: dict[str, Any]) -> bool:
    return "count" in step or "foreach" in step


@dataclass
class Interpreter:
    """Does a flow of noops in one go, one step after the other."""

    steps: dict[str, dict[str, Any]]
    came: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def run(self) -> dict[str, tuple[str, Any]]:
        """Give each step's status and words."""
        while len(self.came) < len(self.steps):
            for name, step in self.steps.items():
                if name not in self.came and self.names(step) <= self.came.keys():
                    self.came[name] = self.do(step)
        return {name: (status, words_of(result)) for name, (status, result) in self.came.items()}

    def names(self, step: dict[str, Any]) -> set[str]:
        texts = [step["with"]["word"], *step["with"]["heard"], str(step.get("foreach", ""))]
        referred = {name for name in self.steps for text in texts if f"${{{name}." in text}
        return referred | set(step.get("after", []))

    def do(self, step: dict[str, Any]) -> tuple[str, Any]:
        if any(self.came[name][0] in {"failed", "cancelled"} for name in self.names(step)):
            return "cancelled", [] if is_many(step) else None
        elements = self.elements(step)
        word = step["with"]["word"]
        gone = [name for name in self.steps if f"${{{name}." in word and self.came[name][0] == "skipped"]
        if elements is None or gone:
            return "skipped", [] if is_many(step) else None
        results = [self.noop(step, element) for element in elements]
        done = [result for result in results if result]
        if len(done) == len(results) or ("on_error" in step and done):
            return "completed", results if is_many(step) else results[0]
        return ("skipped" if "on_error" in step else "failed"), results if is_many(step) else None

    def elements(self, step: dict[str, Any]) -> list[Any] | None:
        if "count" in step:
            return list(range(step["count"]))
        if not isinstance(step.get("foreach"), str):
            return list(step.get("foreach", [None]))
        name, key = step["foreach"][2:-1].split(".")
        status, result = self.came[name]
        if status == "skipped":
            return None
        return [each[key] for each in result if each] if isinstance(result, list) else result[key]

    def noop(self, step: dict[str, Any], element: Any) -> dict[str, Any] | None:
        if step["with"].get("fails"):
            return None
        word = step["with"]["word"].replace("${each}", str(element))
        for name, (_, result) in self.came.items():
            if f"${{{name}.word}}" in word:
                word = word.replace(f"${{{name}.word}}", result["word"])
        said = "+".join([word, *self.hear(step, element)])
        return {"word": said, "words": [f"{said}{n}" for n in range(step["with"]["n"])]}

    def hear(self, step: dict[str, Any], element: Any) -> Iterator[str]:
        """Give what is heard: of the step that this one is spread over, only what came of its own job."""
        for reference in step["with"]["heard"]:
            status, result = self.came[reference[2:-1].split(".")[0]]
            if reference == step.get("foreach"):
                yield element
            elif status == "completed":
                yield from (each["word"] for each in (result if isinstance(result, list) else [result]) if each)


def words_of(result: Any) -> Any:
    return [each and each["word"] for each in result] if isinstance(result, list) else result and result["word"]


def start(steps: list[dict[str, Any]]) -> UUID:
    asked = AskedFlow(uuid4(), plan.make(flow.parse({"steps": steps})), {"steps": steps})
    with ending.transition() as session:
        course.accept(session, asked)
    return asked.id


def came_of(flow_id: UUID) -> dict[str, tuple[str, Any]]:
    return {one["id"]: (one["status"], words_of(one["result"])) for one in flow_pages.read(flow_id)["steps"]}


def wait_for(flow_ids: list[UUID], patience_s: float = 300) -> None:
    def ended() -> bool:
        return all(flow_pages.read(flow_id)["ended_at"] for flow_id in flow_ids)

    wait_until(ended, patience_s, lambda: repr([came_of(flow_id) for flow_id in flow_ids]))


def endings(flow_ids: list[UUID]) -> Counter[str]:
    """Count by job how often it ended."""
    last = select(Event.job_id, func.count()).join(Job, Job.id == Event.job_id).where(Job.flow_id.in_(flow_ids))
    with transaction() as session:
        told = last.where(Event.name.in_(("completed", "failed", "cancelled"))).group_by(Event.job_id)
        return Counter({str(job_id): count for job_id, count in session.execute(told)})


def test_the_interpreter_knows_what_the_shapes_are_of() -> None:
    came = [Interpreter({step["id"]: step for step in shape(seed)}).run() for seed in SHAPES]
    met = {status for one in came for status, _ in one.values()}
    assert met == {"completed", "skipped", "failed", "cancelled"}
    spread = [step for seed in SHAPES for step in shape(seed) if is_many(step)]
    assert {type(step.get("foreach", step.get("count"))) for step in spread} == {int, list, str}


def test_flows_of_any_shape_give_what_a_plain_interpreter_gives(house: House) -> None:  # noqa: ARG001 - it must run
    shapes = [shape(seed) for seed in SHAPES]
    flow_ids = [start(steps) for steps in shapes]
    wait_for(flow_ids)
    for steps, flow_id in zip(shapes, flow_ids, strict=True):
        assert came_of(flow_id) == Interpreter({step["id"]: step for step in steps}).run()


def test_kills_and_a_flush_change_nothing_and_no_finished_step_runs_again(house: House, redis_url: str) -> None:
    shapes = [shape(seed) for seed in SHAPES]
    flow_ids = [start(steps) for steps in shapes]
    house.kill("main")
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    house.start("main")
    wait_until(lambda: endings(flow_ids), 120)
    house.kill("main", "watch")
    house.start("main", "watch")
    house.pass_time()
    wait_for(flow_ids)
    for steps, flow_id in zip(shapes, flow_ids, strict=True):
        assert came_of(flow_id) == Interpreter({step["id"]: step for step in steps}).run()
    assert set(endings(flow_ids).values()) == {1}


def test_outcomes_that_are_written_together_do_not_wait_for_each_others_flows(database: str) -> None:  # noqa: ARG001 - it must run
    naps = [{"id": "nap", "tool": "nap", "count": 6}]
    with transaction() as session:
        pair = [AskedFlow(uuid4(), plan.make(flow.parse({"steps": naps})), {"steps": naps}) for _ in range(2)]
        for asked in pair:
            course.accept(session, asked)
        jobs = [job_id for job_id, _ in course.take_opened(session)]
    refused = Outcome(engine="preview", seconds=0.1, error=ObjectNotFound().problem())
    found = [Found(job_id, rows.start(job_id), refused) for job_id in jobs]
    batches = [[found[n], found[6 + n]][:: 1 if n % 2 else -1] for n in range(6)]
    told = rows.at_once(6, lambda: ending.conclude_all(batches.pop()))
    assert [one for one in told if isinstance(one, Exception)] == []
    assert [flow_pages.read(asked.id)["status"] for asked in pair] == ["failed"] * 2
