"""The RunPod whose jobs end by themselves: what the benchmark measures against must itself be right."""

import time

from tests.gateway.crowd import MOST, MOST_AT_ONCE, Crowd, Gate, Nature

FILE = {"r2_path": "r2://packshot/generated/a.png", "size": 1, "sha256": "a"}


def test_a_job_ends_by_itself_and_no_sooner() -> None:
    crowd = Crowd(Nature(port=0, shortest_s=0.05, longest_s=0.05, latency_s=0, hooks=0, file=FILE))
    work = crowd.accept("one", {"input": {"attempt_id": "a", "params": {"seed": 1}}})
    assert not list(crowd.pass_time())
    assert crowd.counts()["under_way"] == 1
    while not (ended := list(crowd.pass_time())):
        time.sleep(0.005)
    assert ended == [work]
    assert work.execution_ms >= 50
    assert work.show()["output"]["file"] == FILE
    assert (crowd.counts()["under_way"], crowd.counts()["most_under_way"]) == (0, 1)


def test_each_endpoint_lets_in_as_many_calls_as_runpod_does() -> None:
    gate = Gate()
    let_in = sum(gate.lets_in(("one", "run")) for _ in range(MOST["run"] + 5))
    assert let_in == MOST["run"]
    assert gate.lets_in(("other", "run"))


def test_not_more_calls_are_inside_at_one_moment_than_runpod_takes() -> None:
    gate = Gate()
    gate.inside["one", "status"] = MOST_AT_ONCE["status"]
    assert not gate.lets_in(("one", "status"))
