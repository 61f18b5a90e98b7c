"""What is told to Prometheus: what a process counts by itself, and, by a watcher, how the whole house is."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from threading import Lock

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from db import figures
from db.figures import Ends, Now
from db.suspicions import KINDS
from settings import settings
from tools.errors import Unavailable

logger = logging.getLogger(__name__)

#: Counted by whichever process does it.
LOOKS = Counter("packshot_looks", "Calls to RunPod about an attempt, by what they came to.", ["tool", "answer"])
WEBHOOKS = Counter("packshot_webhooks", "Webhooks that came, by whether they were ours.", ["ours"])

#: In seconds: from what is quick to what is slow by nature.
BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)

#: The gauges of what is so now: name, what it says, labels.
OPEN = ("packshot_jobs", "Jobs that have not ended; `stage` says what those wait for that are pending.")
OLDEST = ("packshot_oldest_seconds", "Seconds since the oldest job that has not ended was made.")
ATTEMPTS = ("packshot_attempts", "Attempts under way, at RunPod or on our own queue.")
BACKLOG = ("packshot_backlog", "What the workers of a queue have to do, also what they are at.")
SUSPICIONS = ("packshot_suspicions", "Signs that something was paid for twice, since the beginning.")
WATCHERS = ("packshot_watchers", "Watchers that were seen of late.")
UP = ("packshot_database_up", "Whether the database answers.")


def serve(*more: Collector) -> None:
    """Tell our metrics at METRICS_BIND, if it is set, and those of `more` collectors."""
    if not settings().metrics_bind:
        return
    host, _, port = settings().metrics_bind.rpartition(":")
    for collector in more:
        REGISTRY.register(collector)
    try:
        start_http_server(int(port), host)
    except OSError as taken:  # no reason not to work
        logger.warning("metrics are told to nobody, as %s cannot be listened on: %s", settings().metrics_bind, taken)


class House(Collector):
    """Reads how the house is, each time that somebody asks."""

    def __init__(self) -> None:
        self.tally = Tally()

    def collect(self) -> Iterator[Metric]:
        """Tell it all; while the database is away, only that it is."""
        try:
            now = figures.read_now()
            self.tally.go_on()
        except Unavailable:
            yield gauge(UP, [], [((), 0)])
            return
        yield gauge(UP, [], [((), 1)])
        yield from tell_now(now)
        yield from self.tally.registry.collect()

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: to register it must not ask the database."""
        return []


def tell_now(now: Now) -> Iterator[Metric]:
    """Tell what is so now."""
    labels = ["tool", "status", "stage"]
    yield gauge(OPEN, labels, [(tuple(row[:3]), row[3]) for row in now.open_jobs])
    yield gauge(OLDEST, labels, [(tuple(row[:3]), row[4]) for row in now.open_jobs])
    yield gauge(ATTEMPTS, ["tool", "remote", "state"], [(tuple(row[:3]), row[3]) for row in now.attempts])
    yield gauge(BACKLOG, ["queue"], [((row[0],), row[1]) for row in now.backlog])
    # A kind of which there is none is told, too: an alarm on its growth would not hear of the first.
    suspected = {**dict.fromkeys(KINDS, 0), **dict(now.suspicions)}
    yield gauge(SUSPICIONS, ["what"], [((what,), number) for what, number in suspected.items()])
    yield gauge(WATCHERS, [], [((), now.watchers)])


def gauge(named: tuple[str, str], labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """Make a gauge of its values, by their labels."""
    family = GaugeMetricFamily(*named, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family


class Tally:
    """Counts what has ended since this process began, each end once. Several watchers each count all of it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lock = Lock()
        self.since: datetime | None = None
        self.ended = Counter(
            "packshot_jobs_ended", "Jobs that ended.", ["tool", "status", "engine"], registry=self.registry
        )
        self.gpu = Counter(
            "packshot_gpu_seconds", "Seconds on a GPU, also of what failed.", ["tool", "gpu"], registry=self.registry
        )
        self.cost = Counter(
            "packshot_cost_usd", "US dollars for them, at our prices.", ["tool", "gpu"], registry=self.registry
        )
        self.stages = Histogram(
            "packshot_stage_seconds", "Seconds that a job was queued, waited for a GPU, ran, and was settled in.",
            ["tool", "stage"], buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip

    def go_on(self) -> None:
        """Count what has ended since the last time. Raises Unavailable."""
        with self.lock:  # two who ask at once must not count it twice
            ends = figures.read_ends(self.since)
            self.count(ends)
            self.since = ends.until

    def count(self, ends: Ends) -> None:
        """Count these ends."""
        for tool, status, engine, queued_s, settled_s in ends.jobs:
            self.ended.labels(tool, status, engine or "").inc()
            self.see(tool, queued=queued_s, settling=settled_s)
        for tool, gpu, delay_ms, execution_ms, cost_usd, ran_s in ends.attempts:
            run_s = ran_s if not execution_ms else execution_ms / 1000
            self.see(tool, waiting_for_gpu=None if delay_ms is None else delay_ms / 1000, running=run_s)
            self.gpu.labels(tool, gpu or "").inc((execution_ms or 0) / 1000)
            self.cost.labels(tool, gpu or "").inc(cost_usd or 0)

    def see(self, tool: str, **seconds: float | None) -> None:
        """Note how long some stages took, of those that a job went through."""
        for stage, took_s in seconds.items():
            if took_s is not None:
                self.stages.labels(tool, stage).observe(max(float(took_s), 0.0))
