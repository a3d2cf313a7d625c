"""The figures of a study, each from patches that no evaluated part has seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.data import Data
from microcalc.evaluation.intervals import bootstrap_intervals
from microcalc.evaluation.metrics import assess
from microcalc.evaluation.reliability import brier_score, expected_calibration_error
from microcalc.training.splits import StudySplit, check_split

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Patches with all that was predicted on them.

    Attributes:
        data: n patches.
        experts: (n, experts) probabilities.
        committee: (n,) calibrated probabilities.
        threshold: at or above which the committee calls these patches a cluster.
    """

    data: Data
    experts: Floats
    committee: Floats
    threshold: float


def out_of_fold(own: Predicted, split: StudySplit) -> Floats:
    """(n,) for each patch of a test fold the probability by that fold's expert; NaN for the committee's patients.

    Raises:
        LeakError: a patient is on two sides of the split.
    """
    check_split(split, own.data.groups)
    probabilities = np.full(len(own.data.labels), np.nan)
    for number, fold in enumerate(split.folds):
        probabilities[fold.test] = own.experts[fold.test, number]
    return probabilities


def evaluate_folds(own: Predicted, split: StudySplit, hyperparameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``metrics.json["folds"]``: each expert on its own test fold, at 0.5."""
    probabilities = out_of_fold(own, split)
    rows = []
    for number, fold in enumerate(split.folds):
        figures = assess(own.data.labels[fold.test], probabilities[fold.test])
        rows.append({"fold": number, **figures, "hyperparameters": hyperparameters[number]})
    return rows


def _with_intervals(
    labels: NDArray[np.int64], scores: Floats, groups: NDArray[np.int64], seed: int, threshold: float = 0.5
) -> dict[str, Any]:
    """Return the figures at a threshold, their intervals over patients, and the number of patients."""
    return {
        **assess(labels, scores, threshold),
        **bootstrap_intervals(labels, scores, groups, threshold, seed),
        "patients": len(np.unique(groups)),
    }


def evaluate_cross_validation(
    own: Predicted, split: StudySplit, folds: list[dict[str, Any]], seed: int
) -> dict[str, Any]:
    """``metrics.json["cross_validation"]``: all out-of-fold predictions together, with intervals over patients."""
    probabilities = out_of_fold(own, split)
    tested = ~np.isnan(probabilities)
    accuracies = [fold["accuracy"] for fold in folds]
    return {
        **_with_intervals(own.data.labels[tested], probabilities[tested], own.data.groups[tested], seed),
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies, ddof=1)),
    }


def evaluate_external(predicted: Predicted, seed: int) -> dict[str, Any]:
    """``metrics.json["external"]`` or ``["test"]``: the committee on a set that none of its parts has seen."""
    labels, probabilities, threshold = predicted.data.labels, predicted.committee, predicted.threshold
    return {
        **_with_intervals(labels, probabilities, predicted.data.groups, seed, threshold),
        "threshold": threshold,
        "brier_score": brier_score(labels, probabilities),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
    }


def evaluate_nested(data: Data, probabilities: Floats, decisions: Floats, seed: int) -> dict[str, Any]:
    """``metrics.json["nested"]``: committees on outer folds that they never saw, each at its own threshold.

    Args:
        data: n patches.
        probabilities: (n,) by the committee of the patch's outer fold.
        decisions: (n,) 0 or 1, by the same committee at its threshold.
    """
    ranked = _with_intervals(data.labels, probabilities, data.groups, seed)
    return {
        **_with_intervals(data.labels, decisions, data.groups, seed),
        "auc": ranked["auc"],
        "auc_ci95": ranked["auc_ci95"],
        "brier_score": brier_score(data.labels, probabilities),
        "expected_calibration_error": expected_calibration_error(data.labels, probabilities),
    }


def describe_data(data: Data) -> dict[str, Any]:
    """``metrics.json["dataset"]``."""
    return {
        "name": data.name,
        "images": len(data.labels),
        "positives": int(data.labels.sum()),
        "groups": len(np.unique(data.groups)),
        "identical_pairs": data.identical_pairs,
        "built_in_phantom": data.name == "phantom",
    }
