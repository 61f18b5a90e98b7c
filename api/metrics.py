"""How long the API takes to answer, for Prometheus."""

from time import monotonic

from flask import Flask, Response, g, request
from prometheus_client import Histogram

from tasks import metrics

#: In seconds; the longest are those that somebody asked to wait.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

REQUESTS = Histogram(
    "packshot_request_seconds", "Seconds until the answer of the API, waits included.", ["method", "route", "status"],
    buckets=BUCKETS,
)  # fmt: skip


def register(app: Flask) -> None:
    """Time every request of an app, and tell it where the settings say."""
    app.before_request(begin)
    app.after_request(end)
    metrics.serve()


def begin() -> None:
    """Note when a request came."""
    g.began_at = monotonic()


def end(response: Response) -> Response:
    """Note how long it took; paths that we do not have share one name, or anybody could make us count without end."""
    route = request.url_rule.rule if request.url_rule else "none"
    took_s = monotonic() - g.get("began_at", monotonic())
    REQUESTS.labels(request.method if request.url_rule else "any", route, response.status_code).observe(took_s)
    return response
