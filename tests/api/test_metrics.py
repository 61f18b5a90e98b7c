"""What Prometheus reads: of the API, and of the house."""

import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from db import figures
from db.base import soon
from scripts.dashboard import ROWS
from settings import settings
from tasks import metrics
from tasks.metrics import House
from tests.db import rows
from tools.errors import Unavailable


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_each_answer_is_timed_by_its_route(client: FlaskClient) -> None:
    one = {"method": "GET", "route": "/api/jobs/<job_id>", "status": "404"}
    before = value("packshot_request_seconds_count", **one)
    client.get(f"/api/jobs/{uuid4()}")
    client.get(f"/api/jobs/{uuid4()}")
    assert value("packshot_request_seconds_count", **one) == before + 2


def test_paths_that_are_none_of_ours_are_one(client: FlaskClient) -> None:
    before = value("packshot_request_seconds_count", method="any", route="none", status="404")
    for n in range(3):
        client.get(f"/wp-admin/{n}")
    client.open("/xyz", method="BREW")
    assert value("packshot_request_seconds_count", method="any", route="none", status="404") == before + 4


def test_a_webhook_is_counted_by_whether_it_is_ours(client: FlaskClient) -> None:
    before = value("packshot_webhooks_total", ours="no")
    client.post(f"/hooks/runpod/{uuid4()}/nonsense")
    assert value("packshot_webhooks_total", ours="no") == before + 1


def test_a_port_that_is_taken_is_no_reason_not_to_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("METRICS_BIND", f"127.0.0.1:{taken.getsockname()[1]}")
        settings.cache_clear()
        metrics.serve()
    settings.cache_clear()
    assert "metrics are told to nobody" in caplog.text


@pytest.fixture(name="house")
def have_house(database: str) -> House:  # noqa: ARG001 - it must run
    """Give what a watcher tells of the house, as one who was asked before."""
    house = House()
    list(house.collect())
    return house


def tell(house: House) -> Iterator[tuple[str, dict[str, str], float]]:
    """Read what it tells, as Prometheus does."""
    registry = CollectorRegistry()
    registry.register(house)
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def ended(tool: str) -> UUID:
    """End a job so long ago that it is counted."""
    job_id = rows.accept(tool)
    rows.start(job_id)
    rows.end(job_id)
    rows.change(job_id, ended_at=soon(-figures.LAG_S - 1), started_at=soon(-40), created_at=soon(-42))
    return job_id


def test_the_house_tells_what_is_open_and_counts_each_end_once(house: House) -> None:
    assert house.tally.since
    house.tally.since -= timedelta(minutes=1)
    rows.accept("video")
    ended("mask")
    told = list(tell(house))
    open_jobs = [(labels, number) for name, labels, number in told if name == "packshot_jobs"]
    assert ({"tool": "video", "status": "pending", "stage": "queued"}, 1.0) in open_jobs
    one = ("packshot_jobs_ended_total", {"tool": "mask", "status": "completed", "engine": "preview"}, 1.0)
    assert one in told
    assert ("packshot_stage_seconds_sum", {"tool": "mask", "stage": "queued"}) in [row[:2] for row in told]
    assert one in list(tell(house))  # and not twice
    assert ("packshot_database_up", {}, 1.0) in told


def test_signs_of_which_there_are_none_are_told_too(house: House) -> None:
    told = {labels["what"] for name, labels, _ in tell(house) if name == "packshot_suspicions"}
    assert told >= {"second_remote_id", "late_outcome", "lost_attempt_ran"}


#: What a question of the dashboard names: a metric, with its labels in braces, behind `by` and in the legend.
NAMED = re.compile(r"(packshot_\w+)(?:{(\w+)=)?")
LABELS = re.compile(r"by \(([\w, ]+)\)")
LEGEND = re.compile(r"{{(\w+)}}")


def test_each_panel_asks_for_labels_that_are_told(house: House, client: FlaskClient) -> None:
    assert house.tally.since
    house.tally.since -= timedelta(minutes=1)
    rows.accept("video")
    rows.start(rows.accept("mask"))
    ended("mask")
    client.get("/health")
    client.post(f"/hooks/runpod/{uuid4()}/nonsense")
    metrics.LOOKS.labels("mask", "running").inc()
    told = {name: set(labels) | {"instance"} for name, labels, _ in tell(house)}  # Prometheus itself adds the instance
    own = [sample for family in REGISTRY.collect() for sample in family.samples]
    told |= {sample.name: set(sample.labels) | {"instance"} for sample in own}
    for question, legend in chain.from_iterable(graph.lines for graph in chain.from_iterable(ROWS.values())):
        ((metric, picked),) = NAMED.findall(question)
        grouped = {label.strip() for group in LABELS.findall(question) for label in group.split(",")}
        assert grouped | ({picked} if picked else set()) <= told[metric], question
        assert set(LEGEND.findall(legend)) <= grouped, legend


def test_without_a_database_the_house_tells_just_that(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise Unavailable

    monkeypatch.setattr(figures, "read_now", away)
    assert list(tell(house)) == [("packshot_database_up", {}, 0.0)]
