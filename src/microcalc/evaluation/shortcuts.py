"""Simple baselines: logistic regression on a few statistics of a patch, which a network has to beat."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from microcalc.committee.calibration import Floats
from microcalc.evaluation.intervals import bootstrap_intervals
from microcalc.evaluation.metrics import assess
from microcalc.transforms.statistics import WAVELET, Images, intensity_statistics, wavelet_statistics

FOLDS = 5
GREY_LEVELS = ("mean", "std", "min", "max")

Integers = npt.NDArray[np.int64]


SHORTCUTS: dict[str, Callable[[Images], Floats]] = {
    "_".join(GREY_LEVELS): intensity_statistics,
    f"wavelet_{WAVELET}": wavelet_statistics,
}


def shortcut_figures(images: Images, labels: Integers, groups: Integers, seed: int = 0) -> dict[str, Any] | None:
    """Cross-validated AUC of logistic regression on each of :data:`SHORTCUTS`, with plain and with grouped 5-fold.

    All out-of-fold predictions of a 5-fold are ranked together.

    Args:
        images: (n, height, width).
        labels: (n,), 1 where a cluster is present.
        groups: (n,), patches of equal value are never split by the grouped 5-fold.
        seed: of both ways of splitting and of the bootstrap.

    Returns:
        For each name ``statistics`` (how many a patch), ``plain_auc``, ``grouped_auc`` and ``grouped_auc_ci95``; of
        the grey levels also ``alone``, the AUC of each statistic as it is, above 0.5 where it is higher with a cluster.
        None where a class comes from fewer than 5 groups.

    >>> noise = np.random.default_rng(0).random((40, 60, 60), dtype=np.float32)
    >>> labels = np.arange(40) % 2
    >>> brighter = noise / 2 + 0.4 * labels[:, None, None].astype(np.float32)
    >>> shortcut_figures(brighter, labels, np.arange(40))["mean_std_min_max"]["grouped_auc"]
    1.0
    """
    if min(len(np.unique(groups[labels == label])) for label in (0, 1)) < FOLDS:
        return None
    figures: dict[str, Any] = {}
    for name, statistics in SHORTCUTS.items():
        table = statistics(images)
        plain = _out_of_fold(table, labels, groups, StratifiedKFold(FOLDS, shuffle=True, random_state=seed))
        grouped = _out_of_fold(table, labels, groups, StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed))
        figures[name] = {
            "statistics": table.shape[1],
            "plain_auc": assess(labels, plain)["auc"],
            "grouped_auc": assess(labels, grouped)["auc"],
            "grouped_auc_ci95": bootstrap_intervals(labels, grouped, groups, seed=seed)["auc_ci95"],
        }
    columns = zip(GREY_LEVELS, intensity_statistics(images).T, strict=True)
    figures["_".join(GREY_LEVELS)]["alone"] = {name: float(roc_auc_score(labels, column)) for name, column in columns}
    return figures


def siblings_in_training(labels: Integers, groups: Integers, seed: int = 0) -> float | None:
    """Share of patches that a plain 5-fold tests with a patch of the same group on the training side.

    None where a class has fewer than 5 patches.

    >>> siblings_in_training(np.array([0] * 10 + [1] * 10), np.arange(20))
    0.0
    >>> siblings_in_training(np.array([0] * 10 + [1] * 10), np.arange(20) // 10)
    1.0
    """
    if np.bincount(labels, minlength=2).min() < FOLDS:
        return None
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels)
    return sum(int(np.isin(groups[test], groups[training]).sum()) for training, test in splits) / len(labels)


def _out_of_fold(table: Floats, labels: Integers, groups: Integers, splitter: BaseCrossValidator) -> Floats:
    """(n,) probability of each patch by the logistic regression that did not see its fold."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    splits = list(splitter.split(table, labels, groups if isinstance(splitter, StratifiedGroupKFold) else None))
    probabilities: Floats = cross_val_predict(model, table, labels, cv=splits, method="predict_proba")[:, 1]
    return probabilities
