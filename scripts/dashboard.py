"""Writes the Grafana dashboard: `python -m scripts.dashboard > deploy/grafana/packshot.json`.

Each watcher tells of the whole house, so its figures are joined by max; what a process counts for itself is summed up.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")

#: Of what a watcher counts: by each of them, then the one that has counted the longest.
RATE = "max by ({by}) (sum by ({by}, instance) (rate({name}[$__rate_interval])))"


@dataclass(frozen=True)
class Graph:
    """One picture: what it shows, in which unit, and of what."""

    title: str
    text: str
    unit: str
    #: PromQL, and how each line is called.
    lines: Sequence[tuple[str, str]]


def rate(name: str, *by: str) -> str:
    """Ask how fast something grows that watchers count."""
    return RATE.format(name=name, by=", ".join(by))


def quantile(share: float, name: str, *by: str) -> str:
    """Ask below what so much of a histogram lies."""
    labels = ", ".join(["le", *by])
    return f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket[$__rate_interval])))"


ROWS: dict[str, Sequence[Graph]] = {
    "Jobs": (
        Graph("Open jobs", "By what they wait for, or that they run.", "short",
              [("max by (tool, stage) (packshot_jobs)", "{{tool}} {{stage}}")]),
        Graph("Ends", "How many jobs end in a minute, and how.", "short",
              [(f"60 * {rate('packshot_jobs_ended_total', 'tool', 'status')}", "{{tool}} {{status}}")]),
        Graph("Oldest queued", "What only grows older has too few workers, or none. Without data, nothing is queued.",
              "s",
              [('max by (tool) (packshot_oldest_seconds{stage="queued"})', "{{tool}}")]),
        Graph("In flight", "Attempts at RunPod and on our own queue.", "short",
              [("max by (tool, remote, state) (packshot_attempts)", "{{tool}} {{remote}} {{state}}")]),
    ),
    "Workers": (
        Graph("Backlog", "What the workers of each queue have to do, also what they are at: their number follows it.",
              "short", [("max by (queue) (packshot_backlog)", "{{queue}}")]),
        Graph("Stages, median", "How long jobs are in each.", "s",
              [(quantile(0.5, "packshot_stage_seconds", "tool", "stage"), "{{tool}} {{stage}}")]),
        Graph("Stages, 95th percentile", "How long the slowest of them are.", "s",
              [(quantile(0.95, "packshot_stage_seconds", "tool", "stage"), "{{tool}} {{stage}}")]),
        Graph("Watchers and PostgreSQL", "Without a watcher nobody tells of the house: that is shown as none.", "short",
              [("max(packshot_watchers) or vector(0)", "watchers"),
               ("min(packshot_database_up) or vector(0)", "PostgreSQL answers")]),
    ),
    "GPU and money": (
        Graph("GPU seconds", "In a minute, also of what failed.", "s",
              [(f"60 * {rate('packshot_gpu_seconds_total', 'tool', 'gpu')}", "{{tool}} {{gpu}}")]),
        Graph("Cost", "In an hour, by our price table.", "currencyUSD",
              [(f"3600 * {rate('packshot_cost_usd_total', 'tool', 'gpu')}", "{{tool}} {{gpu}}")]),
        Graph("Suspected double payments", "Each one is a row of the table suspicions.", "short",
              [("max by (what) (packshot_suspicions)", "{{what}}")]),
        Graph("RunPod", "Calls to it, and its webhooks, in a second.", "reqps",
              [("sum by (answer) (rate(packshot_looks_total[$__rate_interval]))", "{{answer}}"),
               ("sum by (ours) (rate(packshot_webhooks_total[$__rate_interval]))", "webhooks, ours: {{ours}}")]),
    ),
    "API": (
        Graph("Requests", "In a second, by how they were answered.", "reqps",
              [("sum by (status) (rate(packshot_request_seconds_count[$__rate_interval]))", "{{status}}")]),
        Graph("Latency, 99th percentile", "Waits that somebody asked for are in it.", "s",
              [(quantile(0.99, "packshot_request_seconds", "method", "route"), "{{method}} {{route}}")]),
    ),
}  # fmt: skip


def make() -> str:
    """Write the dashboard as JSON."""
    board = Dashboard("Packshot").uid("packshot").tags(["packshot"]).refresh("30s").time("now-3h", "now").readonly()
    board = board.with_variable(DatasourceVariable("source").label("Prometheus").type("prometheus"))
    for title, graphs in ROWS.items():
        board = board.with_row(Row(title))
        for graph in graphs:
            board = board.with_panel(draw(graph))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def draw(graph: Graph) -> Panel:
    """Make one panel, half of the width: a line for each tool and stage needs its legend."""
    panel = Panel().title(graph.title).description(graph.text).unit(graph.unit).datasource(SOURCE).span(12).height(8)
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel = panel.legend(legend.show_legend(show_legend=True)).min(0).fill_opacity(8)
    for place, (expression, name) in enumerate(graph.lines):
        panel = panel.with_target(Dataquery().expr(expression).legend_format(name).ref_id("ABCDEF"[place]))
    return panel


if __name__ == "__main__":
    sys.stdout.write(make())
