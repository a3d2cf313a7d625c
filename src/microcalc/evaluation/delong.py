"""DeLong's test: do two sets of predictions for the same patches differ in area under the ROC curve?"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from microcalc.committee.calibration import Floats, checked
from microcalc.errors import RequestError
from microcalc.evaluation.intervals import number_groups

ROUNDING = 1e-12


@dataclass(frozen=True)
class DeLong:
    """The outcome of :func:`delong_test`; ``difference`` is first minus second, ``p_value`` two-sided."""

    auc_first: float
    auc_second: float
    difference: float
    ci95: tuple[float, float]
    z: float
    p_value: float


def delong_test(
    labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, groups: npt.ArrayLike | None = None
) -> DeLong:
    """Test of equal area under two correlated ROC curves.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, with the mid-ranks of Sun and Xu, IEEE Signal Processing
    Letters 21, 2014. With ``groups`` the variance is that of Obuchowski, Biometrics 53, 1997, for patches that depend
    on one another within a patient; without, every patch is taken as independent, which makes p too small wherever a
    patient gives several patches.

    Args:
        labels: (n,), 1 where a cluster is present; both classes.
        first: (n,), probabilities in [0, 1].
        second: (n,), probabilities in [0, 1] for the same patches.
        groups: (n,), any values; patches of equal value are one patient.

    Returns:
        Areas, their difference with its 95 % interval, z and p. Predictions that rank alike give z = 0 and p = 1.
        A difference without variance (no error at all against one constant) gives an infinite z and p = 0, which
        says no more than the two areas do.

    Raises:
        RequestError: fewer than two patches, or patients, of a class, or see
            :func:`microcalc.committee.calibration.checked`.

    >>> outcome = delong_test([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.8, 0.9], [0.3, 0.2, 0.7, 0.1, 0.6, 0.9])
    >>> f"{outcome.auc_first:.3f} {outcome.auc_second:.3f} {outcome.p_value:.2f}"
    '0.889 0.556 0.08'
    """
    truth, scores = checked(labels, first)
    _, others = checked(labels, second)
    members = number_groups(np.arange(truth.size) if groups is None else groups, truth.size)
    if min(len(np.unique(members[truth])), len(np.unique(members[~truth]))) < 2:
        raise RequestError("DeLong's test needs at least two patches of each class, from two patients: got fewer")
    components = structural_components(truth, scores)
    other_components = structural_components(truth, others)
    area, other_area = float(components[truth].mean()), float(other_components[truth].mean())
    difference = area - other_area
    error = math.sqrt(max(0.0, _variance(components - other_components, truth, members)))
    margin = float(norm.ppf(0.975)) * error
    z = _z(difference, error)
    interval = (difference - margin, difference + margin)
    return DeLong(area, other_area, difference, interval, z, 2 * float(norm.sf(abs(z))))


def structural_components(truth: npt.NDArray[np.bool_], scores: Floats) -> Floats:
    """Return for each patch the share of patches of the other class that it is ranked rightly against, ties one half.

    Args:
        truth: (n,), both classes.
        scores: (n,).

    Returns:
        (n,); their mean over either class is the area under the curve.

    >>> structural_components(np.array([False, False, True]), np.array([0.1, 0.9, 0.5]))
    array([1. , 0. , 0.5])
    """
    ranks = rankdata(scores)
    components = np.empty(truth.size)
    for own in (True, False):
        mine = truth == own
        below = (ranks[mine] - rankdata(scores[mine])) / np.sum(~mine)
        components[mine] = below if own else 1 - below
    return components


def _z(difference: float, error: float) -> float:
    """Difference over its standard error, where rounding leaves a trace of what should be nought."""
    if abs(difference) < ROUNDING:
        return 0.0
    return difference / error if error > ROUNDING else math.copysign(math.inf, difference)


def _variance(components: Floats, truth: npt.NDArray[np.bool_], members: npt.NDArray[np.intp]) -> float:
    """Variance of the mean component (Obuchowski 1997, equations 2 to 5); DeLong's where each patch is a group."""
    centred = components - components[truth].mean()
    positive, negative = (
        np.bincount(members, weights=np.where(truth == own, centred, 0.0)) / np.sum(truth == own)
        for own in (True, False)
    )
    with_positive, with_negative = len(np.unique(members[truth])), len(np.unique(members[~truth]))
    count = len(np.unique(members))
    return float(
        with_positive / (with_positive - 1) * np.sum(positive**2)
        + with_negative / (with_negative - 1) * np.sum(negative**2)
        + 2 * count / (count - 1) * np.sum(positive * negative)
    )
