"""Bayesian search of hyperparameters on the hold-out of one fold, by KerasTuner."""

import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import microcalc.networks.backend  # noqa: F401  chooses PyTorch before KerasTuner imports Keras

# isort: split
import keras_tuner
from sklearn.exceptions import ConvergenceWarning
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from microcalc.committee.weights import save_weights
from microcalc.config import StudyConfig
from microcalc.files import read_record, write_json
from microcalc.networks.allocator import return_freed_memory
from microcalc.networks.hypermodel import build_network
from microcalc.training.loop import Curves, train
from microcalc.training.task import MEND_RECORD, FoldTask, Progress, damaged_record

Hyperparameters = dict[str, Any]

SPACE = ("dim", "depth", "dropout")
RANDOM_TRIALS = 3
MEDIAN_RULE_STARTS = 1 / 3
OBJECTIVE = "holdout_loss"
CURVES = ("loss", "accuracy", "holdout_loss", "holdout_accuracy")


class Combination(TypedDict):
    """One point of the search's space, as records hold it."""

    dim: int
    depth: int
    dropout: float


class Trial(Combination):
    """The record of one trial, in ``trial_N.json`` and ``search.json``."""

    trial: int
    holdout_loss: float
    holdout_auc: float
    holdout_accuracy: float
    epochs: int
    stopped_early: bool
    seconds: float
    curves: dict[Literal["loss", "accuracy", "holdout_loss", "holdout_accuracy"], list[float]]


@dataclass(frozen=True)
class SearchResult:
    """The trials of one fold in the order they ran, and the best of them on the hold-out."""

    hyperparameters: Hyperparameters
    trials: list[dict[str, Any]]
    best: int | None


class _DistinctBayesianOracle(keras_tuner.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """KerasTuner's oracle, which may propose a combination again where the space is small: then an untried one runs."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        proposal: dict[str, Any] = super().populate_space(trial_id)
        if proposal["values"] is not None and not self._duplicate(proposal["values"]):
            return proposal
        spaces = [[(space.name, value) for value in space.values] for space in self.hyperparameters.space]
        untried = [values for pairs in itertools.product(*spaces) if not self._duplicate(values := dict(pairs))]
        if not untried:
            return {"status": "STOPPED", "values": None}
        return {"status": "RUNNING", "values": untried[self._random_state.randint(len(untried))]}


class _HoldoutTuner(keras_tuner.engine.base_tuner.BaseTuner):  # type: ignore[misc]
    """Runs each trial of the oracle through ``run``; any error ends the search instead of marking the trial failed."""

    def __init__(self, run: Callable[[int, Hyperparameters], float], **settings: Any) -> None:
        super().__init__(**settings)
        self.run = run

    def run_trial(self, trial: Any) -> dict[str, float]:
        return {OBJECTIVE: self.run(int(trial.trial_id), dict(trial.hyperparameters.values))}

    def _try_run_and_update_trial(self, trial: Any) -> None:
        self._run_and_update_trial(trial)
        trial.status = keras_tuner.engine.trial.TrialStatus.COMPLETED


def cannot_win(curve: list[float], earlier: list[list[float]], epochs: int) -> bool:
    """The median rule: the best hold-out loss so far is worse than the median of the earlier trials' at this epoch.

    Golovin et al., "Google Vizier: a service for black-box optimization", KDD 2017, section 3.2.1; it acts from a
    third of the epochs on, and once two earlier trials have come this far.

    >>> cannot_win([0.7, 0.6, 0.5], earlier=[[0.6, 0.4, 0.2], [0.5, 0.4, 0.3]], epochs=9)
    True
    >>> cannot_win([0.7, 0.6, 0.2], earlier=[[0.6, 0.4, 0.2], [0.5, 0.4, 0.3]], epochs=9)
    False
    """
    done = len(curve)
    rivals = [min(other[:done]) for other in earlier if len(other) >= done]
    if done < MEDIAN_RULE_STARTS * epochs or len(rivals) < 2:
        return False
    return min(curve) > statistics.median(rivals)


def search(task: FoldTask) -> SearchResult:
    """Explore ``config.search.trials`` combinations, each trained on one part and scored on the other.

    Each finished trial leaves ``trial_N.json`` in the directory, and the best so far its weights. A search that runs
    again over the same directory takes finished trials from there: the oracle, given the same results in the same
    order, proposes the same combinations, so that the outcome equals that of a search never interrupted.

    Returns:
        The trials and the best of them; its weights are in ``best.safetensors``.
    """
    settings = task.config.search
    trials: list[dict[str, Any]] = []

    def run(number: int, hyperparameters: Hyperparameters) -> float:
        record = task.directory / f"trial_{number}.json"
        if record.exists():
            saved = _read_trial(record, number, hyperparameters, task.config)
        else:
            for later in range(number + 1, settings.trials):  # or the weights kept would not be of the best trial
                (task.directory / f"trial_{later}.json").unlink(missing_ok=True)
            saved = _run_trial(task, number, hyperparameters, trials)
            write_json(record, saved)
        trials.append(saved)
        _report(task, "trained", number, settings.epochs)  # epochs that it did not need count as done
        return float(saved[OBJECTIVE])

    space = keras_tuner.HyperParameters()
    for name in SPACE:
        space.Choice(name, sorted(set(getattr(settings, name))))
    oracle = _DistinctBayesianOracle(
        objective=keras_tuner.Objective(OBJECTIVE, "min"),
        max_trials=settings.trials,
        num_initial_points=RANDOM_TRIALS,
        hyperparameters=space,
        seed=task.seed,
    )
    oracle.verbose = 0
    tuner = _HoldoutTuner(run, oracle=oracle, directory=str(task.directory), project_name="keras_tuner", overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the Gaussian process, on the few first trials
        tuner.search()
    return best_of(trials)


def _report(task: FoldTask, stage: Literal["training", "trained"], trial: int, epoch: int) -> None:
    settings = task.config.search
    done, total = trial * settings.epochs + epoch, settings.trials * settings.epochs
    task.report("search", Progress(stage, trial, epoch, done, total))


def best_of(trials: list[dict[str, Any]]) -> SearchResult:
    """The trial of least hold-out loss, the first of equals."""
    best = min(range(len(trials)), key=lambda number: trials[number][OBJECTIVE])
    return SearchResult({name: trials[best][name] for name in SPACE}, trials, best)


def is_trial(record: Any, number: int, config: StudyConfig) -> bool:
    """Return whether a record can be of this trial of such a study."""
    return (
        record["trial"] == number
        and record["curves"].keys() == set(CURVES)
        and all(record[name] in getattr(config.search, name) for name in SPACE)
        and 1 <= record["epochs"] <= config.search.epochs
        and all(len(curve) == record["epochs"] for curve in record["curves"].values())
    )


def _read_trial(path: Path, number: int, hyperparameters: Hyperparameters, config: StudyConfig) -> dict[str, Any]:
    record: Any = read_record(path, Trial, MEND_RECORD)
    if not is_trial(record, number, config) or {name: record[name] for name in SPACE} != hyperparameters:
        raise damaged_record(path)
    return dict(record)


def _run_trial(
    task: FoldTask, number: int, hyperparameters: Hyperparameters, earlier: list[dict[str, Any]]
) -> dict[str, Any]:
    """Train one combination, leave its weights where it is the best so far, and return its record."""
    config = task.config
    rivals = [trial["curves"][OBJECTIVE] for trial in earlier]

    def on_epoch(curves: Curves) -> bool:
        _report(task, "training", number, len(curves.loss))
        return config.search.pruning and cannot_win(curves.holdout_loss, rivals, config.search.epochs)

    start = time.monotonic()
    training, holdout = task.part(task.fold.training), task.part(task.fold.holdout)
    network = build_network(**hyperparameters, preprocessing=config.training.preprocessing, seed=task.seed)
    curves = train(
        network,
        *training,
        settings=config.training,
        augmentation=config.training_augmentation,
        epochs=config.search.epochs,
        seed=task.seed,
        holdout=holdout,
        on_epoch=on_epoch,
    )
    best, epochs = curves.best_epoch, len(curves.loss)
    if all(curves.holdout_loss[best] < trial[OBJECTIVE] for trial in earlier):
        save_weights(network, task.directory / "best.safetensors")
    return_freed_memory()
    return {
        "trial": number,
        **hyperparameters,
        OBJECTIVE: curves.holdout_loss[best],
        "holdout_auc": curves.holdout_auc[best],
        "holdout_accuracy": curves.holdout_accuracy[best],
        "epochs": epochs,
        "stopped_early": epochs < config.search.epochs,
        "seconds": time.monotonic() - start,
        "curves": {name: getattr(curves, name) for name in CURVES},
    }
