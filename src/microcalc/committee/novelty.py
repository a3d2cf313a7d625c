"""How far a patch lies from the patches that a committee was trained on, so that a picture of a cat is told."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import RequestError
from microcalc.transforms.statistics import Images, Statistics, detail_deviations, intensity_statistics

STATISTICS = 11
SMALLEST_DEVIATION = 1e-3  # a quarter of an 8-bit grey level; it keeps the logarithm of a flat patch finite


def novelty_statistics(images: Images) -> Statistics:
    """What the distance is measured in: brightness, and the logarithms of contrast and of nine bands of detail.

    Args:
        images: (n, 60, 60) raw patches in [0, 1].

    Returns:
        (n, 11).

    >>> novelty_statistics(np.zeros((2, 60, 60), np.float32)).shape
    (2, 11)
    """
    brightness, contrast = intensity_statistics(images)[:, :2].T
    deviations = np.column_stack([contrast, detail_deviations(images)])
    return np.column_stack([brightness, np.log(deviations + SMALLEST_DEVIATION)])


@dataclass(frozen=True, eq=False)
class Novelty:
    """The Mahalanobis distance from the training data, and the distance above which a patch is an outlier.

    Attributes:
        mean: (11,) of :func:`novelty_statistics` over the training data.
        whitening: (11, 11), which turns centred statistics into uncorrelated ones of variance 1.
        threshold: a patch farther away than this is an outlier.
        false_alarm_rate: share of patches like those of the training data, of other patients, that lie farther away.
    """

    mean: Statistics
    whitening: Statistics
    threshold: float
    false_alarm_rate: float

    def __post_init__(self) -> None:
        finite = np.isfinite(self.mean).all() and np.isfinite(self.whitening).all()
        sized = self.mean.shape == (STATISTICS,) and self.whitening.shape == (STATISTICS, STATISTICS)
        if not (finite and sized and 0 < self.threshold < np.inf and 0 < self.false_alarm_rate < 1):
            raise RequestError("a novelty needs a finite mean and whitening, a threshold above 0 and a rate in (0, 1)")

    def distances(self, images: Images) -> NDArray[np.float64]:
        """(n, 60, 60) raw patches in [0, 1] to (n,) distances, in standard deviations of the training data.

        >>> novelty = Novelty(np.zeros(11), np.eye(11), threshold=5.0, false_alarm_rate=0.01)
        >>> novelty.distances(np.zeros((1, 60, 60), np.float32)).round(1)
        array([21.8])
        """
        return whitened_distances(novelty_statistics(images), self.mean, self.whitening)


def whitened_distances(statistics: Statistics, mean: Statistics, whitening: Statistics) -> NDArray[np.float64]:
    """(n, 11) statistics to (n,) Mahalanobis distances from the mean.

    >>> whitened_distances(np.array([[3.0, 4.0]]), np.zeros(2), np.eye(2))
    array([5.])
    """
    distances: NDArray[np.float64] = np.linalg.norm((statistics - mean) @ whitening, axis=1)
    return distances
