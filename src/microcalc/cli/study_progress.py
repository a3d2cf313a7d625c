"""How far a study is: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from microcalc.config import StudyConfig

if TYPE_CHECKING:
    from microcalc.training.progress import Progress as PieceProgress


@contextmanager
def shown_progress(
    console: Console, config: StudyConfig
) -> Iterator[Callable[[dict[str, "PieceProgress"]], None] | None]:
    """A bar over all epochs of the study with the time left; plain lines where the output is no terminal."""
    if console.quiet:
        yield None
    elif not console.is_terminal:
        yield plain_lines(console)
    else:
        trials = 0 if config.fast_execution else config.search.trials
        epochs = config.folds * (trials * config.search.epochs + config.training.epochs)
        columns = (
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
        )
        with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("study", total=epochs)

            def show(pieces: dict[str, "PieceProgress"]) -> None:
                running = [f"{name}: {piece.text}" for name, piece in pieces.items() if is_running(piece)]
                description = " | ".join(running) or "study"
                bar.update(task, completed=sum(piece.done for piece in pieces.values()), description=description)

            yield show


def is_running(piece: "PieceProgress") -> bool:
    """Whether a piece of work has begun and not ended."""
    return "epoch" in piece.text


def plain_lines(console: Console) -> Callable[[dict[str, "PieceProgress"]], None]:
    """One line whenever a trial has ended, and whenever an expert starts."""
    last: dict[str, str] = {}

    def show(pieces: dict[str, "PieceProgress"]) -> None:
        for name, piece in pieces.items():
            stage = piece.text.partition(", epoch")[0].partition("epoch")[0] or "training"
            if piece.text and last.get(name) != stage:
                last[name] = stage
                console.print(f"{name}: {stage}")

    return show
