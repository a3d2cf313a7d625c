"""The work of one fold, as pieces that run in any process: the search, then the training of its expert."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import TypedDict

from microcalc.committee.committee import filtered
from microcalc.committee.highest_view import highest_views
from microcalc.committee.inference import predict
from microcalc.committee.weights import load_weights, save_weights
from microcalc.errors import RequestError
from microcalc.files import read_record, write_json
from microcalc.images.tiles import views
from microcalc.networks.hypermodel import build_network
from microcalc.training.loop import Curves, train
from microcalc.training.search import Combination, Hyperparameters, SearchResult, Trial, best_of, is_trial, search
from microcalc.training.task import MEND_RECORD, FoldTask, Progress, damaged_record


class _Expert(TypedDict):
    loss: list[float]
    accuracy: list[float]
    seconds: float


class _Search(TypedDict):
    hyperparameters: Combination
    trials: list[Trial]
    best: int | None


class _History(_Search):
    expert: _Expert


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, so that a fold gives the same figures alone as beside others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def run_search(task: FoldTask) -> SearchResult:
    """Search the hyperparameters of one fold and leave ``search.json``, which is taken as it is where it is there.

    With ``fast_execution`` no trial runs: the hyperparameters are the saved ones.
    """
    record = task.directory / "search.json"
    if record.exists():
        return _read_result(record, task)
    if task.config.fast_execution:
        found = SearchResult(saved_hyperparameters(task.number), trials=[], best=None)
    else:
        found = search(task)
    task.directory.mkdir(parents=True, exist_ok=True)
    write_json(record, vars(found))
    return found


@_one_thread()
def run_expert(task: FoldTask, found: SearchResult) -> None:
    """Train the expert of one fold on the whole development set, from the best trial's weights on.

    Leaves ``expert.safetensors``, then ``history.json``; where they are there already, nothing is trained.
    """
    record = task.directory / "history.json"
    if record.exists():
        return
    epochs = task.config.training.epochs

    def on_epoch(curves: Curves) -> bool:
        done = len(curves.loss)
        task.report("expert", Progress("training", epoch=done, done=done, total=epochs))
        return False

    start = time.monotonic()
    network = build_expert(task, found.hyperparameters)
    if found.best is not None:
        load_weights(network, task.directory / "best.safetensors")
    curves = train(
        network,
        *task.part(task.fold.development),
        settings=task.config.training,
        augmentation=task.config.training_augmentation,
        epochs=epochs,
        seed=task.seed,
        on_epoch=on_epoch,
    )
    save_weights(network, task.directory / "expert.safetensors")
    expert = {"loss": curves.loss, "accuracy": curves.accuracy, "seconds": time.monotonic() - start}
    write_json(record, {**vars(found), "expert": expert})


def load_expert(task: FoldTask) -> tuple[Any, Hyperparameters]:
    """The trained network of a fold, and what it was built with."""
    hyperparameters = _read_result(task.directory / "history.json", task, _History).hyperparameters
    network = build_expert(task, hyperparameters)
    load_weights(network, task.directory / "expert.safetensors")
    return network, hyperparameters


@_one_thread()
def predict_by_expert(task: FoldTask, images: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """The probabilities by a fold's trained expert, (n,) for each of the named (n, 60, 60) images as it takes them."""
    network, _ = load_expert(task)
    return {name: predict(network, part) for name, part in images.items()}


@_one_thread()
def predict_highest_views(
    tasks: list[FoldTask], weights: NDArray[np.float64], images: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The probabilities by all trained experts, (n, experts), for the highest view of each patch of unknown pixel size.

    Args:
        tasks: of all folds.
        weights: (experts,) of the committee.
        images: (n, 60, 60) raw patches.
    """
    networks = [load_expert(task)[0] for task in tasks]
    seen = [views(image, "unknown") for image in images]
    prepared = filtered(np.concatenate(seen), tasks[0].config.wavelet)
    return highest_views(networks, weights, prepared, np.array([len(each) for each in seen]))[0]


def _read_result(path: Path, task: FoldTask, type_: type[_Search] = _Search) -> SearchResult:
    """Return what the search of this fold found; refuse what cannot be so."""
    config = task.config
    record: Any = read_record(path, type_, MEND_RECORD)
    found = SearchResult(record["hyperparameters"], record["trials"], record["best"])
    if config.fast_execution:
        sound = found == SearchResult(saved_hyperparameters(task.number), [], None)
    else:
        complete = len(found.trials) == config.search.trials
        sound = complete and all(is_trial(trial, number, config) for number, trial in enumerate(found.trials))
        sound = sound and found == best_of(found.trials)
    if not sound:
        raise damaged_record(path)
    return found


def build_expert(task: FoldTask, hyperparameters: Hyperparameters) -> Any:
    """The untrained network of a fold's expert."""
    return build_network(**hyperparameters, preprocessing=task.config.training.preprocessing, seed=task.seed)


def saved_hyperparameters(fold: int) -> Hyperparameters:
    """Return the choice of an earlier search on the INFN data for a fold; an own search is always to be preferred.

    >>> sorted(saved_hyperparameters(0))
    ['depth', 'dim', 'dropout']
    """
    text = resources.files("microcalc.training").joinpath("saved_hyperparameters.json").read_text(encoding="utf-8")
    saved: list[Hyperparameters] = json.loads(text)
    if fold >= len(saved):
        raise RequestError(f"fast_execution has hyperparameters for {len(saved)} folds; give folds={len(saved)}")
    return saved[fold]
