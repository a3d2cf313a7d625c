"""Measures of calibration: Brier score, reliability curve and expected calibration error."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microcalc.committee.calibration import Floats, checked


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of a reliability diagram, each array (bins,): mean prediction, share of positives, number of patches."""

    predicted: Floats
    observed: Floats
    counts: npt.NDArray[np.int64]


def brier_score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean squared difference of probability and label (Brier, Monthly Weather Review 78, 1950); 0 is best.

    >>> brier_score([0, 1], [0.5, 0.5])
    0.25
    """
    truth, scores = checked(labels, probabilities)
    return float(np.mean((scores - truth) ** 2))


def reliability_curve(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> Reliability:
    """Compare predicted and observed shares of positives, in bins that hold equally many patches.

    Edges are quantiles of the probabilities, and equal probabilities share a bin: ties leave fewer, fuller bins.

    Args:
        labels: (n,), 1 where a cluster is present.
        probabilities: (n,), in [0, 1].
        bins: number of bins, at most.

    Raises:
        RequestError: see :func:`microcalc.committee.calibration.checked`.

    >>> reliability_curve([0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9], bins=2)
    Reliability(predicted=array([0.2, 0.8]), observed=array([0.5, 1. ]), counts=array([2, 2]))
    """
    truth, scores = checked(labels, probabilities)
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    _, members, counts = np.unique(np.searchsorted(edges, scores), return_inverse=True, return_counts=True)
    return Reliability(np.bincount(members, scores) / counts, np.bincount(members, truth) / counts, counts)


def expected_calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> float:
    """Mean distance of predicted and observed share, over the equal-mass bins of :func:`reliability_curve`; 0 is best.

    Naeini, Cooper and Hauskrecht, AAAI 2015, defined it on bins of equal width; equal mass (Nixon et al., CVPR
    Workshops 2019) keeps every bin filled where predictions gather at 0 and 1.

    >>> expected_calibration_error([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    0.0
    """
    curve = reliability_curve(labels, probabilities, bins)
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.counts))
