"""What the demo shows: a live line for each step on a terminal, plain lines anywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

#: Hears of a step: (stage, progress from 0 to 1).
Tell = Callable[[str, float], None]


class Screen:
    """The terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print, with no character of the text taken for markup."""
        self.console.print(text, markup=False)

    @contextmanager
    def live(self, name: str) -> Iterator[Tell]:
        """Show a line that changes while this goes on, and goes away at its end."""
        if not self.console.is_terminal:
            yield silent
            return
        with self.columns() as progress:
            line = progress.add_task(name, total=1.0, stage="")
            yield lambda stage, done: progress.update(line, stage=stage.replace("_", " "), completed=done)

    def columns(self) -> Progress:
        """Lay the line out."""
        return Progress(
            TextColumn("  {task.description}", table_column=Column(min_width=26)),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[stage]}"),
            console=self.console,
            transient=True,
        )


def silent(_stage: str, _progress: float) -> None:
    """Show nothing."""
