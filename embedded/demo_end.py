"""What the demo says when all runs are through: a table of the steps, what the tools confessed, what to try next."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from embedded.demo_report import Report

#: How a run is called.
RUNS = {"http": "over HTTP", "celery": "as a Celery chain", "flow": "as one flow"}

#: Columns that a table needs beside its addresses; and the widest line that is pleasant to read.
BESIDE, PLEASANT = 34, 110


def show(report: Report, seconds: float, next_steps: Sequence[tuple[str, str]]) -> None:
    """Say what came of the demo; `next_steps` are commands or addresses, each with what it is good for."""
    screen = report.screen
    screen.say(
        f"\nAll {len(report.steps)} steps of all runs completed in {seconds:.0f} s; every file opens to its end."
    )
    screen.show(table(report, seconds))
    if report.warnings():
        screen.say("What the tools say of their own results:")
        screen.show(listed([(tool.replace("_", " "), message) for tool, message in report.warnings()], "dim"))
        screen.say("")
    screen.say("To look at:")
    looks = [("contact sheet", report.sheet.as_posix()), ("report", (report.folder / "report.json").as_posix())]
    screen.show(listed(looks))
    screen.say("\nWhat to try next:")
    screen.show(listed(next_steps))


def table(report: Report, seconds: float) -> Table:
    """Lay out the steps, their seconds, and where to open what they made: an address that has room, else a file."""
    addresses = {step: report.address(step) for step in report.steps}
    if max(map(len, addresses.values())) + BESIDE > report.screen.console.width:
        addresses = {step: step.local for step in report.steps}
    laid = Table(box=box.SIMPLE_HEAD, header_style="dim")
    laid.add_column("step", no_wrap=True)
    laid.add_column("seconds", justify="right", no_wrap=True)
    laid.add_column("made", overflow="fold")
    for run, called in RUNS.items():
        laid.add_row(called, style="bold")
        for step in report.of(run):
            laid.add_row(f"  {step.title}", f"{step.seconds:.1f}", addresses[step])
        laid.add_section()
    laid.add_row("total", f"{seconds:.1f}", style="bold")
    return laid


def listed(rows: Sequence[tuple[str, str]], style: str = "") -> Table:
    """Lay out pairs in two columns, the second one broken within itself."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True, style=style)
    grid.add_column(style=style, overflow="fold", max_width=PLEASANT)
    for left, right in rows:
        grid.add_row(f"  {left}", right)
    return grid
