"""Claims and outcomes, in a real bucket."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from storage import claims
from storage.bucket import Bucket
from tools.outcome import Outcome

pytestmark = pytest.mark.usefixtures("store")


def test_of_many_at_once_one_has_the_claim_and_all_learn_who(store: Bucket) -> None:
    attempt_id = str(uuid4())
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: claims.take(attempt_id, f"job-{n}", f"w{n}"), range(8)))
    assert len(set(taken)) == 1
    assert claims.find(attempt_id) == taken[0]
    assert store.head(f"claims/{attempt_id}")


def test_a_claim_that_was_taken_again_by_the_same_job_is_the_first_one() -> None:
    attempt_id = str(uuid4())
    first = claims.take(attempt_id, "job-1", "w1")
    assert claims.take(attempt_id, "job-1", "w2") == first


def test_what_nobody_claimed_or_finished_is_not_found() -> None:
    assert claims.find(str(uuid4())) is None
    assert claims.find_outcome(str(uuid4())) is None


def test_an_outcome_is_read_as_it_was_kept(store: Bucket) -> None:
    attempt_id, outcome = str(uuid4()), Outcome(engine="gpu", seconds=1.5, params={"prompt": "Schuh ß"}, facts={"a": 1})
    claims.keep_outcome(attempt_id, outcome)
    assert claims.find_outcome(attempt_id) == outcome
    stored = store.head(f"results/{attempt_id}.json")
    assert stored
    assert stored.content_type == "application/json"


@pytest.mark.parametrize("kept", [b"", b"{}", b'{"engine": "gpu", "seconds": "long"}', b"\xff"])
def test_an_outcome_that_cannot_be_read_is_one_that_failed(store: Bucket, kept: bytes) -> None:
    attempt_id = str(uuid4())
    store.put(claims.outcome_key(attempt_id), kept)
    found = claims.find_outcome(attempt_id)
    assert found is not None
    assert ((found.error or {})["code"], found.file) == ("handler_failed", None)
