"""What training data look like, and from which distance on a patch is unlike them."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

from microcalc.committee.novelty import Novelty, novelty_statistics, whitened_distances
from microcalc.transforms.statistics import Images, Statistics

FALSE_ALARM_RATE = 0.01
FOLDS = 5


def fit_novelty(images: Images, groups: NDArray[np.int64], rate: float = FALSE_ALARM_RATE) -> Novelty:
    """Fit the distance from some patches, and choose its threshold for a rate of false alarms on patients unseen.

    The covariance is shrunk after Ledoit and Wolf, J. Multivariate Analysis 88 (2004) 365-411. The threshold is the
    conformal quantile (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005) of out-of-fold
    distances: each patch's distance from the patches of four fifths of the patients, not its own. On the INFN data
    the quantile over all patches moved by a tenth from one split to another, that over the 15 % set aside for the
    committee by a factor of two, as it rests on the one farthest patch.

    Args:
        images: (n, 60, 60) raw patches in [0, 1], of both classes.
        groups: (n,) patients, at least two.
        rate: of false alarms; with fewer than 1 / rate patches it becomes 1 / (n + 1), the least that n can tell.

    >>> images = np.random.default_rng(0).random((200, 60, 60), dtype=np.float32)
    >>> novelty = fit_novelty(images, np.arange(200))
    >>> novelty.false_alarm_rate, bool((novelty.distances(images / 2) > novelty.threshold).all())
    (0.01, True)
    """
    statistics = novelty_statistics(images)
    unseen = np.empty(len(images))
    for rest, part in GroupKFold(min(FOLDS, len(np.unique(groups)))).split(statistics, groups=groups):
        unseen[part] = whitened_distances(statistics[part], *_fit(statistics[rest]))
    rate = max(rate, 1 / (len(images) + 1))
    rank = min(math.ceil((len(images) + 1) * (1 - rate)), len(images))
    return Novelty(*_fit(statistics), threshold=float(np.sort(unseen)[rank - 1]), false_alarm_rate=rate)


def _fit(statistics: Statistics) -> tuple[Statistics, Statistics]:
    """Mean and whitening; each statistic is first brought to unit variance, so that shrinking treats all alike."""
    mean, scale = statistics.mean(axis=0), statistics.std(axis=0) + np.finfo(np.float64).eps
    precision = LedoitWolf(assume_centered=True).fit((statistics - mean) / scale).precision_
    return mean, np.linalg.cholesky(precision) / scale[:, None]
