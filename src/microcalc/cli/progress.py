"""The progress of a command: one kind of bar on a terminal, plain lines where the output is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from microcalc.config import StudyConfig

if TYPE_CHECKING:
    from microcalc.training.task import Progress as PieceProgress

FEWEST_FOR_LINES = 1000
"""Files from which on each tenth of them is worth a line where there is no bar."""


@contextmanager
def shown_progress(console: Console, total: int) -> Iterator[Callable[..., None]]:
    """Give a function of the number that is done and a note, which shows them, the rate and the time left."""
    texts = [TextColumn(f"{{task.fields[{name}]}}") for name in ("note", "count", "rate")]
    columns: tuple[ProgressColumn, ...] = (BarColumn(), *texts, TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or console.quiet) as bar:
        task = bar.add_task("", total=total, note="", count="", rate="")
        tenths = 0

        def show(done: int, note: str = "") -> None:
            nonlocal tenths
            count = f"{done:,} of {total:,}"
            rate = f"{bar.tasks[0].speed:.3g} a second" if bar.tasks[0].speed else ""
            bar.update(task, completed=done, note=note, count=count, rate=rate)
            if total >= FEWEST_FOR_LINES and not console.is_terminal and done * 10 // total > tenths:
                tenths = done * 10 // total
                console.print(count)

        yield show


@contextmanager
def study_progress(console: Console, config: StudyConfig) -> Iterator[Callable[[dict[str, "PieceProgress"]], None]]:
    """Show the epochs of a study; plain lines for trials and experts where the output is no terminal."""
    trials = 0 if config.fast_execution else config.search.trials
    epochs = config.folds * (trials * config.search.epochs + config.training.epochs)
    lines = plain_lines(console, config)
    if not console.is_terminal:
        yield lines
        return
    with shown_progress(console, epochs) as show:

        def show_pieces(pieces: dict[str, "PieceProgress"]) -> None:
            running = (name for name, piece in pieces.items() if piece.stage == "training" and piece.done < piece.total)
            note = " | ".join(f"{name}: {describe(pieces[name], config)}" for name in running)
            show(sum(piece.done for piece in pieces.values()), note=note or "study")

        yield show_pieces


def describe(piece: "PieceProgress", config: StudyConfig) -> str:
    """Return the trial and the epoch of a piece of work.

    >>> from microcalc.training.task import Progress
    >>> describe(Progress("training", trial=1, epoch=3, done=11, total=56), StudyConfig())
    'trial 2 of 7, epoch 3 of 8'
    """
    if piece.trial is None:
        return f"epoch {piece.epoch} of {config.training.epochs}"
    return f"trial {piece.trial + 1} of {config.search.trials}, epoch {piece.epoch} of {config.search.epochs}"


def plain_lines(console: Console, config: StudyConfig) -> Callable[[dict[str, "PieceProgress"]], None]:
    """Return what prints a line when a trial starts and when it has ended, and when an expert starts."""
    last: dict[str, tuple[str, Any]] = {}

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
