"""Confidence intervals by bootstrap over patients: the patches of one patient stand or fall together."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from microcalc.committee.calibration import Floats, checked
from microcalc.errors import RequestError

MEASURES = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity")
LARGEST_BLOCK = 4_000_000
FEWEST_PATIENTS = 6
"""Patients that an interval needs: the range of five holds a median in 94 % of samples, that of six in 97 %."""


def bootstrap_intervals(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: npt.ArrayLike,
    threshold: float = 0.5,
    seed: int = 0,
    rounds: int = 2000,
) -> dict[str, list[float] | None]:
    """95 % percentile intervals by cluster bootstrap (Field and Welsh, J. R. Statist. Soc. B 69, 2007).

    Whole groups are drawn with replacement, as many as there are; a draw that lacks one of the classes at hand is
    drawn again. The interval takes the threshold as given: it does not hold the uncertainty of choosing it. A figure
    that no resample can change has an interval of no width: errorless predictions give [1, 1], which says that the
    sample holds no error, not that the next patients will hold none.

    Args:
        labels: (n,), 1 where a cluster is present.
        probabilities: (n,), in [0, 1].
        groups: (n,), any values; patches of equal value are one patient.
        threshold: a probability of at least this is positive.
        seed: of the resampling.
        rounds: number of resamples.

    Returns:
        ``auc_ci95``, ``accuracy_ci95``, ``balanced_accuracy_ci95``, ``sensitivity_ci95``, ``specificity_ci95``, each
        ``[low, high]``, or None where fewer than six groups have what the figure needs (of either class, if both).

    Raises:
        RequestError: ``groups`` does not fit, or see :func:`microcalc.committee.calibration.checked`.

    >>> intervals = bootstrap_intervals([0, 1] * 6, [0.1, 0.8] * 6, groups=range(12))
    >>> intervals["auc_ci95"]
    [1.0, 1.0]
    """
    truth, scores = checked(labels, probabilities)
    members = number_groups(groups, truth.size)
    patches = np.zeros((2, members.max() + 1))
    np.add.at(patches, (truth.astype(int), members), 1)
    negative, positive = (patches > 0).sum(axis=1)
    rarer = min(negative, positive)
    patients = (rarer, patches.shape[1], rarer, positive, negative)
    drawn = resamples(patches, rounds, seed, truth.size)
    figures = np.concatenate([_figures(weights[:, members], truth, scores, threshold) for weights in drawn])
    return {
        f"{name}_ci95": np.quantile(values, (0.025, 0.975)).tolist() if behind >= FEWEST_PATIENTS else None
        for name, behind, values in zip(MEASURES, patients, figures.T, strict=True)
    }


def number_groups(groups: npt.ArrayLike, patches: int) -> npt.NDArray[np.intp]:
    """Number the (n,) groups of so many patches from 0 on.

    Raises:
        RequestError: there is not one group a patch.
    """
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    if members.shape != (patches,):
        raise RequestError(f"one group a patch is needed: got {members.size} for {patches} patches")
    return members


def resamples(cases: Floats, rounds: int, seed: int, size: int) -> Iterator[Floats]:
    """Count how often each group is drawn, in ``rounds`` resamples that hold every kind of case there is.

    Args:
        cases: (kinds, groups), how many of each kind a group has.
        rounds: number of resamples.
        seed: of the resampling.
        size: numbers that the caller computes from a resample; the fewer, the more resamples come at a time.

    Yields:
        (part of the rounds, groups).

    >>> next(resamples(np.ones((1, 3)), rounds=2, seed=0, size=1)).sum(axis=1)
    array([3., 3.])
    """
    generator, count, block = np.random.default_rng(seed), cases.shape[1], max(1, LARGEST_BLOCK // size)
    present = cases[cases.any(axis=1)]
    while rounds:
        weights = generator.multinomial(count, np.full(count, 1 / count), size=min(block, rounds))
        weights = weights[(weights @ present.T > 0).all(axis=1)]
        rounds -= len(weights)
        yield weights.astype(np.float64)


def _figures(weights: Floats, truth: npt.NDArray[np.bool_], scores: Floats, threshold: float) -> Floats:
    """The measures, (rounds, 5), when patch i counts ``weights[:, i]`` times; NaN where they are not defined."""
    called = scores >= threshold
    positive, negative = weights[:, truth].sum(axis=1), weights[:, ~truth].sum(axis=1)
    hits, rejections = weights[:, truth & called].sum(axis=1), weights[:, ~truth & ~called].sum(axis=1)
    with np.errstate(invalid="ignore"):
        sensitivity, specificity = hits / positive, rejections / negative
    accuracy = (hits + rejections) / (positive + negative)
    auc = weighted_auc(weights, truth, scores)
    return np.stack([auc, accuracy, (sensitivity + specificity) / 2, sensitivity, specificity], axis=1)


def weighted_auc(weights: Floats, truth: npt.NDArray[np.bool_], scores: Floats) -> Floats:
    """(rounds,) share of pairs whose positive scores higher, ties one half; NaN without a pair.

    Args:
        weights: (rounds, n), how often each case counts.
        truth: (n,), which are positive.
        scores: (n,), not negative.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))
    ranked, positives = weights[:, order], truth[order]
    positive = np.add.reduceat(ranked * positives, starts, axis=1)
    negative = np.add.reduceat(ranked * ~positives, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        area: Floats = np.einsum("rs,rs->r", positive, below) / (positive.sum(axis=1) * negative.sum(axis=1))
    return area
