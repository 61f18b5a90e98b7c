"""What the demo shows: a bar for each step on a terminal, and one plain line for each that has ended anywhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

#: Hears of a step: (stage, progress from 0 to 1).
Tell = Callable[[str, float], None]

#: Columns of a line in a pipe or a file, where nothing needs to be broken.
ENDLESS = 1000

#: Columns of a step's title, and of its bar.
TITLE, BAR = 18, 24


class Screen:
    """The terminal, or what stands in its place."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True, width=None if is_terminal() else ENDLESS)
        self.bars: Progress | None = None

    def say(self, text: str, style: str = "") -> None:
        """Print, with no character of the text taken for markup; above the bars, if there are any."""
        self.console.print(Text(text, style))

    def line(self, status: str, title: str, seconds: float, address: str) -> None:
        """Say what came of a step; an address that has no room beside it stands below, in one piece."""
        good, bad = ("ok", "--") if self.console.options.ascii_only else ("✓", "✗")
        mark = (good, "green") if status == "completed" else (bad, "red")
        begun = Text.assemble("  ", mark, f" {title:<{TITLE}} ", (f"{seconds:6.1f} s", "dim"))
        ended = address if status == "completed" else status
        if ended:
            room = self.console.width - len(ended)
            begun.append("   " if room >= len(begun) + 3 else "\n    " if room >= 4 else "\n  ").append(ended)
        self.console.print(begun)

    def show(self, what: RenderableType) -> None:
        """Print what knows its own form, such as a table."""
        self.console.print(what, soft_wrap=False)

    def open(self, name: str) -> "Bar":
        """Show a bar for something that begins."""
        if self.bars is None:
            self.bars = self.columns()
            self.bars.start()
        return Bar(self, self.bars.add_task(name, total=None, stage=""))

    @contextmanager
    def bar(self, name: str) -> Iterator["Bar"]:
        """Show a bar while something goes on."""
        bar = self.open(name)
        try:
            yield bar
        finally:
            bar.close()

    def columns(self) -> Progress:
        """Lay the bars out."""
        return Progress(
            TextColumn(" "),  # so that a bar stands where its line will
            SpinnerColumn("line" if self.console.options.ascii_only else "dots"),
            TextColumn("{task.description}", table_column=Column(min_width=TITLE, no_wrap=True)),
            BarColumn(bar_width=BAR),
            TimeElapsedColumn(),
            TextColumn("{task.fields[stage]}", style="dim", markup=False, table_column=Column(no_wrap=True)),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def close(self, task: TaskID) -> None:
        """Take a bar away; with the last one, all that draws them."""
        if self.bars is not None:
            self.bars.remove_task(task)
            if not self.bars.tasks:
                self.clear()

    def clear(self) -> None:
        """Take all bars away: a terminal must have its cursor back."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None


def is_terminal() -> bool:
    """Tell whether somebody looks on; FORCE_COLOR, which Rich heeds too, asks for colours and gives no width."""
    return sys.stdout.isatty()


class Bar:
    """The bar of one step."""

    def __init__(self, screen: Screen, task: TaskID) -> None:
        self.screen = screen
        self.task = task

    def tell(self, stage: str, progress: float) -> None:
        """Show how far it is; before anything is known of that, the bar swings to and fro."""
        if self.screen.bars is not None:
            total = 1.0 if progress else None
            self.screen.bars.update(self.task, stage=stage.replace("_", " "), completed=progress, total=total)

    def close(self) -> None:
        """Take it away."""
        self.screen.close(self.task)
