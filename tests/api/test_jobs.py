"""Jobs of any tool: listed in pages, filtered, cancelled."""

import pytest
from flask.testing import FlaskClient

from tests.api.asking import assert_problem


def make(client: FlaskClient, count: int, path: str = "nap") -> list[str]:
    """Ask for some jobs; give their ids, the newest first."""
    made = [client.post(f"/api/{path}/async", json={}).get_json()["job_id"] for _ in range(count)]
    return made[::-1]


def test_pages_stay_the_same_while_jobs_are_added(client: FlaskClient) -> None:
    made = make(client, 7)
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = client.get(f"/api/jobs?limit=2{cursor}").get_json()
        seen += [job["job_id"] for job in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
        make(client, 1)
    assert seen[:7] == made
    assert page["has_more"] is (page["next_cursor"] is not None)


def test_the_last_page_says_so(client: FlaskClient) -> None:
    make(client, 2)
    everything = client.get("/api/jobs?limit=200").get_json()
    assert (everything["has_more"], everything["next_cursor"]) == (False, None)
    assert len(everything["data"]) >= 2
    assert list(everything) == ["data", "next_cursor", "has_more"]


def test_a_listed_job_is_what_a_poll_shows(client: FlaskClient) -> None:
    job_id = make(client, 1)[0]
    listed = client.get("/api/jobs?limit=1").get_json()["data"][0]
    assert listed == client.get(f"/api/jobs/{job_id}").get_json() == client.get(f"/api/nap/{job_id}").get_json()
    self = f"/api/jobs/{job_id}"
    others = {name: f"{self}/{name}" for name in ("cancel", "retry", "lineage", "events")}
    assert listed["urls"] == {"self": self, **others}


def test_a_job_is_done_again_with_what_it_really_had_but_for_what_is_given(client: FlaskClient) -> None:
    first = client.post("/api/nap/async", json={"seconds": 0.5, "timeout_seconds": 30}).get_json()["job_id"]
    params = client.get(f"/api/jobs/{first}").get_json()["params"]
    again = client.post(f"/api/jobs/{first}/retry", json={"overrides": {"seconds": 0.25}})
    assert (again.status_code, list(again.get_json())) == (202, ["job_id", "status"])
    job = client.get(f"/api/jobs/{again.get_json()['job_id']}").get_json()
    assert job["params"] == {**params, "seconds": 0.25}
    assert (job["retry_of"], job["input"]["timeout_seconds"]) == (first, 30)
    other = client.post(f"/api/jobs/{first}/retry", json={"overrides": {"seed": None}}).get_json()["job_id"]
    assert client.get(f"/api/jobs/{other}").get_json()["params"]["seed"] != params["seed"]


def test_a_job_that_cannot_be_done_again_says_so(client: FlaskClient) -> None:
    first = make(client, 1)[0]
    assert client.post(f"/api/jobs/{first}/retry").status_code == 202  # where nothing changes, there is nothing to say
    wrong = client.post(f"/api/jobs/{first}/retry", json={"overrides": {"second": 1}})
    assert_problem(wrong, 422, "unknown_field")
    assert_problem(client.post(f"/api/jobs/{first}/retry", json={"override": {}}), 422, "unknown_field")
    assert_problem(client.post(f"/api/jobs/{'0' * 8}/retry", json={}), 404, "job_not_found")


def test_jobs_are_filtered_by_tool_and_status(client: FlaskClient, picture: str) -> None:
    nap = make(client, 1)[0]
    mask = client.post("/api/mask/async", json={"image_url": picture, "object_name": "bag"}).get_json()["job_id"]
    client.post(f"/api/jobs/{nap}/cancel")

    def listed(query: str) -> set[str]:
        return {job["job_id"] for job in client.get(f"/api/jobs?limit=200&{query}").get_json()["data"]}

    assert mask in listed("tool=mask")
    assert nap not in listed("tool=mask")
    assert nap in listed("status=cancelled")
    assert mask not in listed("status=cancelled")
    assert listed("tool=mask&status=cancelled") == set()


def test_to_cancel_twice_is_to_cancel_once(client: FlaskClient) -> None:
    job_id = make(client, 1)[0]
    first = client.post(f"/api/jobs/{job_id}/cancel")
    again = client.post(f"/api/jobs/{job_id}/cancel")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.get_json() == again.get_json()
    assert first.get_json()["status"] == "cancelled"
    assert first.get_json()["error"]["code"] == "cancelled"


@pytest.mark.parametrize("sent", ["abc", "0af7651916cd43dd-8448", "a:b.c/d=e+f"])
def test_a_request_id_is_given_back(client: FlaskClient, sent: str) -> None:
    assert client.get("/health", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent
    assert client.get("/nope", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", "schlüssel"])
def test_a_strange_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    given = client.get("/health", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
    assert given != sent
    assert len(given) == 32


def test_an_error_of_our_own_says_no_more_than_that(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("db.pages.read_list", fail)
    problem = assert_problem(client.get("/api/jobs"), 500, "internal")
    assert "secret" not in str(problem)
