"""The dashboard is what its code makes, what Grafana's schema knows, and asks for what we tell."""

import json
import re
from itertools import chain
from pathlib import Path

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import REGISTRY

from api.metrics import REQUESTS
from scripts.dashboard import ROWS, Graph, make
from tasks import metrics

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy/grafana/packshot.json"
GRAPHS = list(chain.from_iterable(ROWS.values()))


def told() -> set[str]:
    """Name all series that we tell."""
    own = {REQUESTS, metrics.LOOKS, metrics.WEBHOOKS}
    counted = [*metrics.House().tally.registry.collect(), *(one for each in own for one in each.collect())]
    gauges = [metrics.OPEN, metrics.OLDEST, metrics.ATTEMPTS, metrics.BACKLOG, metrics.SUSPICIONS, metrics.WATCHERS,
              metrics.UP]  # fmt: skip
    names = [family.name + end for family in counted for end in ("_total", "_bucket", "_count", "_sum")]
    return {*names, *(name for name, _ in gauges)}


def expressions(graph: Graph) -> list[str]:
    return [line.replace("$__rate_interval", "5m") for line, _ in graph.lines]


def test_what_is_shipped_is_what_the_code_makes() -> None:
    assert SHIPPED.read_text() == make()


def test_grafanas_schema_knows_all_that_is_in_it() -> None:
    known = Dashboard.from_json(json.loads(SHIPPED.read_text()))
    assert json.loads(JSONEncoder(sort_keys=True).encode(known)) == json.loads(SHIPPED.read_text())
    assert len(known.panels or []) == len(GRAPHS) + len(ROWS)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.title)
def test_each_question_can_be_asked_and_has_an_answer(graph: Graph) -> None:
    assert "packshot_request_seconds" in {family.name for family in REGISTRY.collect()}
    for expression in expressions(graph):
        assert promql_parser.parse(expression)
        asked = set(re.findall(r"packshot_\w+", expression))
        assert asked
        assert asked <= told()


def test_all_that_is_told_is_shown() -> None:
    shown = " ".join(line for graph in GRAPHS for line, _ in graph.lines)
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in told()}
    assert {name for name in families if name not in shown} == set()
