"""One trial of a search: a combination of hyperparameters trained on one part and scored on the other.

The first trials of a search depend on no result, so that other workers may train them ahead of it. They train to the
end, and what they leave is cut where the search would have pruned them.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from microcalc.committee.weights import save_weights
from microcalc.config import StudyConfig
from microcalc.files import read_record, write_atomically, write_json
from microcalc.networks.hypermodel import build_network
from microcalc.training.loop import Curves, Epoch, train
from microcalc.training.progress import Progress

Patches = tuple[NDArray[np.float32], NDArray[np.int64]]
Hyperparameters = dict[str, Any]
OnProgress = Callable[[Progress], None]
IsPruned = Callable[[list[float]], bool]

SPACE = ("dim", "depth", "dropout")


class Combination(TypedDict):
    """One point of the search's space, as records hold it."""

    dim: int
    depth: int
    dropout: float


class _Ahead(TypedDict):
    hyperparameters: Combination
    seconds: float
    curves: Curves


@dataclass(frozen=True, eq=False)
class SearchTask:
    """All that the search of one fold needs.

    Attributes:
        training: images (n, 60, 60) in [0, 1] and labels (n,).
        holdout: the same for the patches that the choice is made on.
        config: of the study.
        directory: of this fold.
        seed: of this fold.
        on_progress: called after each epoch and each trial.
    """

    training: Patches
    holdout: Patches
    config: StudyConfig
    directory: Path
    seed: int
    on_progress: OnProgress

    def report(self, trial: int, epoch: int) -> None:
        """Report that so many epochs of a trial are done."""
        settings = self.config.search
        done, total = trial * settings.epochs + epoch, settings.trials * settings.epochs
        self.on_progress(Progress("search", "training", trial, epoch, done, total))

    def report_end(self, trial: int) -> None:
        """Report that a trial has ended; epochs that it did not need count as done."""
        settings = self.config.search
        done, total = (trial + 1) * settings.epochs, settings.trials * settings.epochs
        self.on_progress(Progress("search", "trained", trial, settings.epochs, done, total))


@dataclass(frozen=True)
class TrainedTrial:
    """A trial that has ended.

    Attributes:
        curves: of its epochs.
        seconds: that it took.
        save: writes the weights of its best epoch to a path.
    """

    curves: Curves
    seconds: float
    save: Callable[[Path], None]


def train_trial(
    task: SearchTask, number: int, hyperparameters: Hyperparameters, is_pruned: IsPruned = lambda curve: False
) -> TrainedTrial:
    """Train one combination.

    Args:
        task: of the search.
        number: of the trial, from 0.
        hyperparameters: ``dim``, ``depth`` and ``dropout``.
        is_pruned: is given the hold-out losses after each epoch, and ends the trial where it is true.
    """
    config = task.config
    curve: list[float] = []

    def on_epoch(epoch: Epoch) -> bool:
        assert epoch.holdout_loss is not None
        curve.append(epoch.holdout_loss)
        task.report(number, epoch.number + 1)
        return is_pruned(curve)

    start = time.monotonic()
    network = build_network(**hyperparameters, preprocessing=config.training.preprocessing, seed=task.seed)
    curves = train(
        network,
        *task.training,
        settings=config.training,
        augmentation=config.training_augmentation,
        epochs=config.search.epochs,
        seed=task.seed,
        holdout=task.holdout,
        on_epoch=on_epoch,
    )
    return TrainedTrial(curves, time.monotonic() - start, lambda path: save_weights(network, path))


def train_ahead(task: SearchTask, number: int, hyperparameters: Hyperparameters) -> None:
    """Train a combination to the end and leave it where :func:`take_trial` finds it, if it is not there already."""
    record = _record(task.directory, number)
    if record.exists() or (task.directory / f"trial_{number}.json").exists():
        return
    trained = train_trial(task, number, hyperparameters)
    trained.save(record.with_suffix(".safetensors"))
    content = {"hyperparameters": hyperparameters, "seconds": trained.seconds, "curves": asdict(trained.curves)}
    write_json(record, content)


def take_trial(
    directory: Path, number: int, hyperparameters: Hyperparameters, is_pruned: IsPruned
) -> TrainedTrial | None:
    """What :func:`train_ahead` left of a trial, up to the epoch where it is pruned; None where there is nothing.

    Raises:
        RequestError: what is there is damaged.
    """
    record = _record(directory, number)
    if not record.exists():
        return None
    left = read_record(record, _Ahead)
    if left["hyperparameters"] != hyperparameters:
        return None
    losses = left["curves"].holdout_loss
    epochs = next((done for done in range(1, len(losses)) if is_pruned(losses[:done])), len(losses))
    curves = Curves(**{name: curve[:epochs] for name, curve in vars(left["curves"]).items()})
    weights = record.with_suffix(".safetensors")
    return TrainedTrial(curves, left["seconds"], lambda path: write_atomically(path, weights.read_bytes()))


def forget_ahead(directory: Path) -> None:
    """Remove what was trained ahead, once the search has ended."""
    for path in directory.glob("ahead_*"):
        path.unlink()


def _record(directory: Path, number: int) -> Path:
    return directory / f"ahead_{number}.json"
