"""Flows over HTTP: asked for at once, run in the order of their references, done once more without waste."""

import io
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from db.base import transaction
from db.jobs import Job
from db.traces import Event
from tests.api.asking import assert_problem, counted
from tests.conftest import Processes
from tests.db import rows
from tests.tasks.house import House

PATIENCE_S = 120


@pytest.fixture(scope="module")
def house(starter: Processes) -> House:
    """Run a main worker, as these flows need no GPU; and no watcher, so that each step must be sent at once."""
    return House(starter, parts=("main",))


@pytest.fixture
def run(client: FlaskClient, house: House) -> Any:  # noqa: ARG001 - it must run
    """Give the function that asks for a flow, and waits for its end."""

    def ask(*steps: dict[str, Any], path: str = "", **more: Any) -> dict[str, Any]:
        answer = client.post(f"/api/flows{path}", json={"steps": list(steps), **more} if steps else more)
        assert answer.status_code == 202, answer.get_json()
        return wait(client, answer.get_json()["flow_id"])

    return ask


def wait(client: FlaskClient, flow_id: str) -> dict[str, Any]:
    return dict(client.get(f"/api/flows/{flow_id}?wait={PATIENCE_S}").get_json())


def step(name: str, word: str = "", **told: Any) -> dict[str, Any]:
    more: dict[str, Any] = {key: told.pop(key) for key in ("after", "count", "foreach", "on_error") if key in told}
    return {"id": name, "tool": "noop", "with": {"word": word, **told}, **more}


def words(flow: dict[str, Any]) -> dict[str, Any]:
    def read(result: Any) -> Any:
        return [read(each) for each in result] if isinstance(result, list) else result and result["word"]

    return {one["id"]: read(one["result"]) for one in flow["steps"]}


def statuses(flow: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["status"] for one in flow["steps"]}


def job_ids(flow: dict[str, Any]) -> dict[str, list[str]]:
    return {one["id"]: [job["job_id"] for job in one["jobs"]] for one in flow["steps"]}


def test_a_flow_runs_in_the_order_of_its_references(run: Any) -> None:
    flow = run(step("c", "${a.word}", heard=["${a.word}", "${b.word}"]), step("b", "${a.word}!"), step("a", "x"))
    assert flow["status"] == "completed"
    assert words(flow) == {"a": "x", "b": "x!", "c": "x+x+x!"}
    assert [one["id"] for one in flow["steps"]] == ["a", "b", "c"]
    assert flow["edges"] == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_a_job_of_a_flow_is_a_job_like_any_other(run: Any, client: FlaskClient) -> None:
    flow = run(step("a", "x"), step("b", "${a.word}!"))
    first, second = (client.get(f"/api/jobs/{ids[0]}").get_json() for ids in job_ids(flow).values())
    assert second["drawn_from"] == [first["job_id"]]
    assert second["params"]["word"] == "x!"
    assert (second["flow_id"], second["step"]) == (flow["flow_id"], "b")


def test_a_step_is_spread_by_count_and_by_foreach(run: Any) -> None:
    flow = run(
        step("a", "n${each}", count=3), step("b", "${each.word}?", foreach="${a}"),
        step("c", "${each}", foreach=["p", "q"]), step("d", heard="${b.word}"), step("e", heard=["${c.word}", "z"]),
    )  # fmt: skip
    assert words(flow) == {
        "a": ["n0", "n1", "n2"], "b": ["n0?", "n1?", "n2?"], "c": ["p", "q"], "d": "+n0?+n1?+n2?", "e": "+p+q+z",
    }  # fmt: skip


def test_each_job_of_a_spread_step_draws_from_its_own_element(run: Any, client: FlaskClient) -> None:
    flow = run(step("a", "n${each}", count=2), step("b", "${each.word}?", foreach="${a}"))
    ids = job_ids(flow)
    drawn = [client.get(f"/api/jobs/{job_id}").get_json()["drawn_from"] for job_id in ids["b"]]
    assert drawn == [[job_id] for job_id in ids["a"]]


def test_a_step_is_spread_over_a_list_known_only_at_run_time(run: Any) -> None:
    spread = step("b", "${each}", foreach="${a.words}")
    assert words(run(step("a", "w", n=3), spread, step("c", heard="${b.word}")))["c"] == "+w0+w1+w2"
    empty = run(step("a", n=0), spread, step("c", heard="${b.word}"))
    assert (words(empty)["b"], words(empty)["c"], empty["status"]) == ([], "", "completed")


def test_what_fails_cancels_what_is_behind_it_and_nothing_else(run: Any) -> None:
    flow = run(step("a", fails=True), step("b", after=["a"]), step("c", heard=["${b.word}"]), step("d", "free"))
    assert flow["status"] == "failed"
    assert statuses(flow) == {"a": "failed", "b": "cancelled", "c": "cancelled", "d": "completed"}
    assert next(one["error"]["code"] for one in flow["steps"] if one["id"] == "a") == "object_not_found"


def test_what_may_be_skipped_is_left_out(run: Any) -> None:
    flow = run(
        step("a", fails=True, on_error="skip"), step("b", "${a.word}"), step("c", heard=["${a.word}", "x"]),
        step("d", "after", after=["a"]), step("e", "${b.word}"),
    )  # fmt: skip
    assert flow["status"] == "completed"
    assert statuses(flow) == {"a": "skipped", "b": "skipped", "c": "completed", "d": "completed", "e": "skipped"}
    assert words(flow)["c"] == "+x"


def test_a_job_whose_params_turn_out_to_be_wrong_fails_alone(run: Any) -> None:
    flow = run(step("a", "x" * 1500), step("b", "${a.word}${a.word}"), step("c", "free"))
    assert statuses(flow) == {"a": "completed", "b": "failed", "c": "completed"}
    (broken,) = (one for one in flow["steps"] if one["id"] == "b")
    assert broken["error"]["errors"][0]["pointer"] == "/word"


def test_a_wrong_flow_makes_nothing(client: FlaskClient, no_new_job: None) -> None:  # noqa: ARG001 - it looks
    problem = assert_problem(
        client.post("/api/flows", json={"steps": [step("a"), step("b", "${a.wrod}")]}), 422, "invalid_input"
    )
    assert problem["errors"][0]["pointer"] == "/steps/1/with/word"
    assert problem["errors"][0]["suggestions"][0] == "word"
    for body in ({}, {"steps": 5}, {"steps": [5]}):
        assert client.post("/api/flows", json=body).status_code == 422


def test_a_model_that_is_not_there_or_not_ready_is_told_before_anything_runs(client: FlaskClient) -> None:
    model = {"model_id": 999_999, "prompt": "x"}
    steps = [step("a"), {"id": "gen", "tool": "generate", "with": model, "after": ["a"]}]
    for path in ("/api/flows", "/api/flows?dry_run=true"):
        problem = assert_problem(client.post(path, json={"steps": steps}), 404, "model_not_found")
        assert problem["errors"][0]["pointer"] == "/steps/1/with/model_id"


def test_a_file_that_is_not_there_is_told_before_anything_runs(client: FlaskClient) -> None:
    film = {"image_url": "r2://packshot/uploads/none.png"}
    steps = [step("a"), {"id": "film", "tool": "video", "with": film, "after": ["a"]}]
    for path in ("/api/flows", "/api/flows?dry_run=true"):
        problem = assert_problem(client.post(path, json={"steps": steps}), 404, "file_not_found")
        assert problem["errors"][0]["pointer"] == "/steps/1/with/image_url"


def test_a_dry_run_says_what_would_be_done_and_starts_nothing(client: FlaskClient, no_new_job: None) -> None:  # noqa: ARG001 - it looks
    steps = [step("a", "${inputs.w}", count=2), step("b", "${each.word}", foreach="${a}")]
    plan = client.post("/api/flows?dry_run=true", json={"steps": steps, "inputs": {"w": "hi"}}).get_json()
    assert [(one["id"], one["after"], one["jobs"]) for one in plan["steps"]] == [("a", [], 2), ("b", ["a"], None)]
    assert plan["steps"][0]["with"] == [{"word": "hi"}, {"word": "hi"}]
    assert [one["seconds"] for one in plan["steps"]] == [None, None]
    assert assert_problem(client.post("/api/flows?dry_run=1", json={"steps": steps}), 422, "invalid_input")


def test_the_seconds_of_a_tool_are_told_from_ten_own_runs(client: FlaskClient) -> None:
    with transaction() as session:  # of runs that other tests made before
        session.execute(update(Job).where(Job.tool == "nap").values(started_at=None))

    def seconds() -> Any:
        steps = [{"id": "nap", "tool": "nap"}]
        return client.post("/api/flows?dry_run=true", json={"steps": steps}).get_json()["steps"][0]["seconds"]

    for n in range(10):
        assert seconds() is None
        with transaction() as session:
            start = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, n + 1)
            session.add(Job(
                id=uuid4(), root_id=uuid4(), tool="nap", given={}, status="completed", started_at=start,
                ended_at=func.now(),
            ))  # fmt: skip
    assert seconds() == {"p50": 5.5, "p90": 9.1, "runs": 10}


def test_a_flow_can_be_waited_for(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    body = {"steps": [step("a", "x")]}
    answer = client.post("/api/flows", json=body, headers={"Prefer": f"wait={PATIENCE_S}"})
    assert (answer.status_code, answer.get_json()["status"]) == (200, "completed")
    assert answer.headers["Preference-Applied"] == f"wait={PATIENCE_S}"
    at_once = client.post("/api/flows", json=body)
    assert (at_once.status_code, list(at_once.get_json())) == (202, ["flow_id", "status"])
    assert at_once.headers["Location"] == f"/api/flows/{at_once.get_json()['flow_id']}"


def test_a_key_makes_one_flow(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    key = {"Idempotency-Key": str(uuid4())}
    body = {"steps": [step("a", "x")]}
    first, again = (client.post("/api/flows", json=body, headers=key) for _ in range(2))
    assert first.get_json()["flow_id"] == again.get_json()["flow_id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    other = client.post("/api/flows", json={"steps": [step("b")]}, headers=key)
    assert_problem(other, 422, "idempotency_mismatch")


def test_a_retry_runs_what_is_touched_and_keeps_the_rest(run: Any, client: FlaskClient) -> None:
    chain = [step("a", "x"), step("b", "${a.word}b"), step("c", "${b.word}c"), step("d", "${c.word}d"), step("e", "e")]
    old = run(*chain)
    new = run(path=f"/{old['flow_id']}/retry", overrides={"c": {"word": "${b.word}C"}})
    assert words(new) == {"a": "x", "b": "xb", "c": "xbC", "d": "xbCd", "e": "e"}
    before, after = job_ids(old), job_ids(new)
    assert {name for name in before if before[name] == after[name]} == {"a", "b", "e"}
    assert {one["id"] for one in new["steps"] if one["kept"]} == {"a", "b", "e"}
    assert new["retry_of"] == old["flow_id"]
    assert new["changes"] == {"from_step": None, "overrides": {"c": {"word": ["${b.word}c", "${b.word}C"]}}}
    again = run(path=f"/{new['flow_id']}/retry", from_step="d")
    assert {one["id"] for one in again["steps"] if one["kept"]} == {"a", "b", "c", "e"}
    assert client.get(f"/api/jobs/{after['c'][0]}").get_json()["status"] == "completed"


def test_a_retry_of_a_spread_step_runs_only_the_jobs_that_failed(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    steps = [{"id": "nap", "tool": "nap", "count": 3}, step("b", after=["nap"])]
    old = client.post("/api/flows", json={"steps": steps}).get_json()["flow_id"]
    first, second, third = job_ids(client.get(f"/api/flows/{old}").get_json())["nap"]
    rows.end(UUID(second), "failed")
    for job_id in (first, third):
        rows.end(UUID(job_id), result={"r2_path": "r2://packshot/generated/a.png"})
    assert statuses(wait(client, old)) == {"nap": "failed", "b": "cancelled"}
    new = client.post(f"/api/flows/{old}/retry", json={}).get_json()["flow_id"]
    ran = job_ids(client.get(f"/api/flows/{new}").get_json())["nap"]
    assert [ran[0], ran[2]] == [first, third]
    assert ran[1] != second
    rows.end(UUID(ran[1]), result={"r2_path": "r2://packshot/generated/b.png"})
    shown = client.get(f"/api/flows/{new}").get_json()
    assert [one["status"] for one in shown["steps"] if one["id"] == "nap"] == ["completed"]
    assert [one["status"] for one in shown["steps"] if one["id"] == "b"] == ["processing"], "opened, as all is there"


def test_a_retry_runs_all_of_a_spread_step_that_a_change_touches(run: Any) -> None:
    old = run(step("a", "x", count=2), step("b", "${each.word}", fails=True, foreach="${a}"))
    new = run(path=f"/{old['flow_id']}/retry", overrides={"b": {"fails": False}})
    assert statuses(new) == {"a": "completed", "b": "completed"}
    assert job_ids(new)["a"] == job_ids(old)["a"]


def test_inputs_can_be_changed_in_a_retry(run: Any) -> None:
    old = run(step("a", "${inputs.w}"), step("b", "b"), inputs={"w": "x"})
    new = run(path=f"/{old['flow_id']}/retry", overrides={"inputs": {"w": "y"}})
    assert (words(new), new["inputs"]) == ({"a": "y", "b": "b"}, {"w": "y"})
    assert {one["id"] for one in new["steps"] if one["kept"]} == {"b"}


def test_what_cannot_be_retried_is_refused(run: Any, client: FlaskClient) -> None:
    old = run(step("alpha", "x"))["flow_id"]
    misspelt: list[dict[str, Any]] = [{"from_step": "alpa"}, {"overrides": {"alpa": {}}}]
    for body in misspelt:
        problem = assert_problem(client.post(f"/api/flows/{old}/retry", json=body), 422, "invalid_input")
        assert "Did you mean alpha?" in problem["detail"]
    wrong = {"overrides": {"alpha": {"wrod": "x"}}}
    assert_problem(client.post(f"/api/flows/{old}/retry", json=wrong), 422, "unknown_field")
    assert_problem(client.post(f"/api/flows/{uuid4()}/retry", json={}), 404, "flow_not_found")
    assert_problem(client.post(f"/api/flows/{uuid4()}/retry"), 404, "flow_not_found")
    untold = {"Transfer-Encoding": "chunked"}  # its length is not told, but there it is
    answer = client.post(f"/api/flows/{old}/retry", input_stream=io.BytesIO(b"{}"), headers=untold)
    assert_problem(answer, 415, "unsupported_content_type")
    assert_problem(client.get("/api/flows/none"), 404, "flow_not_found")


def test_a_cancelled_flow_starts_nothing_more(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    nap = {"id": "nap", "tool": "nap", "with": {"seconds": 60}}
    flow_id = client.post("/api/flows", json={"steps": [nap, step("b", after=["nap"])]}).get_json()["flow_id"]
    assert_problem(client.post(f"/api/flows/{flow_id}/retry", json={}), 409, "flow_running")
    for _ in range(2):
        shown = client.post(f"/api/flows/{flow_id}/cancel").get_json()
        assert (shown["status"], statuses(shown)) == ("cancelled", {"nap": "cancelled", "b": "cancelled"})


def test_flows_are_listed_in_pages(client: FlaskClient, run: Any) -> None:
    ids = [run(step("a"))["flow_id"] for _ in range(3)][::-1]
    page = client.get("/api/flows?limit=2").get_json()
    rest = client.get(f"/api/flows?limit=1&cursor={page['next_cursor']}").get_json()
    assert [one["flow_id"] for one in page["data"] + rest["data"]] == ids
    assert client.get("/api/flows?status=cancelled").get_json()["data"] != page["data"]
    assert_problem(client.get("/api/flows?status=pending"), 422, "invalid_input")
    assert_problem(client.get("/api/flows?tool=mask"), 422, "unknown_field")


def test_a_flow_of_a_hundred_steps_costs_few_statements(client: FlaskClient, house: House) -> None:  # noqa: ARG001 - it must run
    wide = [*(step(f"s{n}", str(n)) for n in range(60)), *(step(f"t{n}", f"${{s{n}.word}}") for n in range(39))]
    steps = [*wide, step("end", heard=[f"${{t{n}.word}}" for n in range(39)])]
    with counted() as taken:
        answer = client.post("/api/flows", json={"steps": steps})
    assert answer.status_code == 202
    assert len(taken) <= 5, taken
    flow_id = answer.get_json()["flow_id"]
    assert wait(client, flow_id)["status"] == "completed"
    with counted() as read:
        flow = client.get(f"/api/flows/{flow_id}").get_json()
    assert len(read) <= 3
    assert words(flow)["end"] == "+" + "+".join(str(n) for n in range(39))
    with transaction() as session:
        events = select(func.count()).select_from(Event).join(Job, Job.id == Event.job_id)
        assert session.scalar(events.where(Event.name == "accepted", Job.flow_id == flow_id)) == 100
