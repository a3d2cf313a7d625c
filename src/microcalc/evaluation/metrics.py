"""Figures of a set of predictions: area under the ROC curve, rates at a threshold, ROC curves over folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, roc_auc_score, roc_curve

from microcalc.committee.calibration import Floats, Labels, checked
from microcalc.errors import RequestError
from microcalc.evaluation.delong import structural_components


@dataclass(frozen=True, eq=False)
class MeanRoc:
    """Vertical average of the ROC curves of several folds (Fawcett, Pattern Recognition Letters 27, 2006).

    Attributes:
        false_positive_rate: (points,), the common grid from 0 to 1.
        true_positive_rate: (points,), the mean over folds.
        spread: (points,), the standard deviation over folds (n - 1 in the denominator; 0 for one fold).
        auc_mean: mean of the folds' areas.
        auc_spread: their standard deviation, likewise.
        folds: number of folds averaged.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    spread: Floats
    auc_mean: float
    auc_spread: float
    folds: int


def _of_both_classes(labels: npt.ArrayLike, probabilities: npt.ArrayLike, what: str) -> tuple[Labels, Floats]:
    truth, scores = checked(labels, probabilities)
    if truth.all() or not truth.any():
        raise RequestError(f"{what} needs patches of both classes: got one class only")
    return truth, scores


def assess(labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: float = 0.5) -> dict[str, Any]:
    """The figures of ``metrics.json`` for one set of patches; a probability of at least ``threshold`` is positive.

    Args:
        labels: (n,), 1 where a cluster is present.
        probabilities: (n,), in [0, 1].
        threshold: the operating point.

    Returns:
        ``n``, ``auc``, ``accuracy``, ``balanced_accuracy``, ``sensitivity``, ``specificity`` and ``confusion``
        ``[[tn, fp], [fn, tp]]``; a figure that the classes at hand do not define is None.

    Raises:
        RequestError: see :func:`checked`.

    >>> assess([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])["confusion"]
    [[1, 1], [1, 1]]
    >>> assess([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])["auc"]
    0.75
    """
    truth, scores = checked(labels, probabilities)
    decisions = scores >= threshold
    tn, fp, fn, tp = np.bincount(2 * truth + decisions, minlength=4).tolist()
    figures: dict[str, Any] = {
        "n": truth.size,
        "auc": None,
        "accuracy": (tp + tn) / truth.size,
        "balanced_accuracy": None,
        "sensitivity": tp / (tp + fn) if tp + fn else None,
        "specificity": tn / (tn + fp) if tn + fp else None,
        "confusion": [[tn, fp], [fn, tp]],
    }
    if 0 < truth.sum() < truth.size:
        figures["auc"] = float(roc_auc_score(truth, scores))
        figures["balanced_accuracy"] = (figures["sensitivity"] + figures["specificity"]) / 2
    return figures


def roc(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rates, from (0, 0) to (1, 1), at every distinct probability.

    Args:
        labels: (n,), 1 where a cluster is present; both classes.
        probabilities: (n,), in [0, 1].

    Returns:
        Two arrays of one length, both non-decreasing.

    Raises:
        RequestError: only one class is there, or see :func:`checked`.

    >>> roc([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9])
    (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]))
    """
    truth, scores = _of_both_classes(labels, probabilities, "an ROC curve")
    false_positive_rate, true_positive_rate, _ = roc_curve(truth, scores, drop_intermediate=False)
    return false_positive_rate, true_positive_rate


def auc_costs(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Floats:
    """Return what each patch costs the AUC: the share of all pairs of the two classes that it has wrong.

    A pair counts for both of its patches, a tie for half; so the costs of either class sum to 1 - AUC. Where one patch
    costs most of what is missing, its label deserves a look.

    Args:
        labels: (n,), 1 where a cluster is present; both classes.
        probabilities: (n,), in [0, 1].

    Returns:
        (n,), each from 0 to 1.

    Raises:
        RequestError: only one class is there, or see :func:`checked`.

    >>> auc_costs([1, 1, 0, 0], [0.2, 0.9, 0.1, 0.4])
    array([0.25, 0.  , 0.  , 0.25])
    """
    truth, scores = _of_both_classes(labels, probabilities, "an AUC")
    costs: Floats = (1 - structural_components(truth, scores)) / np.where(truth, truth.sum(), (~truth).sum())
    return costs


def mean_roc(folds: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], points: int = 101) -> MeanRoc:
    """Mean of the folds' ROC curves, with the band of one standard deviation, on a common grid.

    Args:
        folds: labels (n,) and probabilities (n,) of each fold; n may differ.
        points: number of false positive rates, evenly spaced from 0 to 1.

    Raises:
        RequestError: no fold, or a fold with one class only, which has no curve.

    >>> mean = mean_roc([([0, 1], [0.2, 0.8]), ([0, 1], [0.8, 0.2])], points=3)
    >>> mean.true_positive_rate, mean.auc_mean
    (array([0. , 0.5, 1. ]), 0.5)
    """
    if not folds:
        raise RequestError("a mean ROC curve needs at least one fold: got none")
    grid = np.linspace(0.0, 1.0, points)
    curves = [roc(labels, probabilities) for labels, probabilities in folds]
    rates = np.stack([np.interp(grid, *curve) for curve in curves])
    rates[:, 0] = 0.0
    areas = np.array([auc(*curve) for curve in curves])
    freedom = 1 if len(folds) > 1 else 0
    return MeanRoc(
        false_positive_rate=grid,
        true_positive_rate=rates.mean(axis=0),
        spread=rates.std(axis=0, ddof=freedom),
        auc_mean=float(areas.mean()),
        auc_spread=float(areas.std(ddof=freedom)),
        folds=len(folds),
    )
