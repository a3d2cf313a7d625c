"""The progress of a command: a bar on a terminal, plain lines where the output is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

FEWEST_FOR_LINES = 1000
"""Files from which on each tenth of them is worth a line where there is no bar."""


@contextmanager
def shown_progress(console: Console, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show how many files or bytes are done, with rate and time left.

    Yields:
        A function that takes the number that is done, and the total where it was not known before.
    """
    rate, left = TextColumn("{task.fields[rate]}"), TextColumn("left")
    columns: tuple[ProgressColumn, ...] = (BarColumn(), MofNCompleteColumn(), rate, left, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or console.quiet) as bar:
        task = bar.add_task("", total=total, rate="")
        tenths = 0

        def show(done: int, total: int | None = total) -> None:
            nonlocal tenths
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.3g} a second" if speed else "")
            if total is None or total < FEWEST_FOR_LINES or console.is_terminal:
                return
            if done * 10 // total > tenths:
                tenths = done * 10 // total
                console.print(f"{done:,} of {total:,}")

        yield show
