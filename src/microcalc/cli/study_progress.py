"""The progress of a study: a bar on a terminal, plain lines where the output is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from microcalc.config import StudyConfig

if TYPE_CHECKING:
    from microcalc.training.task import Progress as PieceProgress


@contextmanager
def shown_progress(
    console: Console, config: StudyConfig
) -> Iterator[Callable[[dict[str, "PieceProgress"]], None] | None]:
    """A bar over all epochs of the study with the time left; plain lines where the output is no terminal."""
    if console.quiet:
        yield None
    elif not console.is_terminal:
        yield plain_lines(console, config)
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
                running = [f"{name}: {describe(piece, config)}" for name, piece in pieces.items() if is_running(piece)]
                description = " | ".join(running) or "study"
                bar.update(task, completed=sum(piece.done for piece in pieces.values()), description=description)

            yield show


def is_running(piece: "PieceProgress") -> bool:
    """Whether a piece of work has begun and not ended."""
    return piece.stage == "training" and piece.done < piece.total


def describe(piece: "PieceProgress", config: StudyConfig) -> str:
    """The trial and the epoch of a piece of work.

    >>> from microcalc.training.task import Progress
    >>> describe(Progress("training", trial=1, epoch=3, done=11, total=56), StudyConfig())
    'trial 2 of 7, epoch 3 of 8'
    """
    if piece.trial is None:
        return f"epoch {piece.epoch} of {config.training.epochs}"
    return f"trial {piece.trial + 1} of {config.search.trials}, epoch {piece.epoch} of {config.search.epochs}"


def plain_lines(console: Console, config: StudyConfig) -> Callable[[dict[str, "PieceProgress"]], None]:
    """One line when a trial starts and when it has ended, and when an expert starts."""
    last: dict[str, tuple[str, int | None]] = {}

    def show(pieces: dict[str, "PieceProgress"]) -> None:
        for name, piece in pieces.items():
            state = piece.stage, piece.trial
            if piece.stage == "waiting" or last.get(name) == state:
                continue
            last[name] = state
            trial = "" if piece.trial is None else f"trial {piece.trial + 1} of {config.search.trials}"
            ended = " done" if piece.stage == "trained" else ""
            console.print(f"{name}: {trial}{ended}" if trial else f"{name}: training")

    return show
