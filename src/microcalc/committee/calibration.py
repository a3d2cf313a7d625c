"""The map from the committee's raw average to a probability that means what it says."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from microcalc.errors import RequestError

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Calibration:
    """A line through the logits: calibrated = expit(slope * logit(probability) + intercept), slope above 0.

    >>> Calibration(slope=1.0, intercept=0.0).apply([0.25, 0.75])
    array([0.25, 0.75])
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (self.slope > 0 and np.isfinite([self.slope, self.intercept]).all()):
            raise RequestError(
                f"a calibration needs a slope above 0 and a finite intercept: got {self.slope} and {self.intercept}"
            )

    def apply(self, probabilities: npt.ArrayLike) -> Floats:
        """Calibrated probabilities, of the same shape, in the same order (ties only nearer than 1e-7 to 0 and 1).

        >>> Calibration(slope=0.5, intercept=0.0).apply([0.1, 0.5, 0.9]).round(2)
        array([0.25, 0.5 , 0.75])
        """
        calibrated: Floats = expit(self.slope * logits_of(probabilities) + self.intercept)
        return calibrated


@dataclass(frozen=True)
class DecisionRule:
    """The calibration of a raw average, and the threshold at or above which the probability is the decision 1."""

    calibration: Calibration
    threshold: float


def logits_of(probabilities: npt.ArrayLike) -> Floats:
    """Logarithms of the odds, finite: probabilities nearer than 1e-7 to 0 and 1 count as that near.

    >>> logits_of([0.5, 1.0]).round(2)
    array([ 0.  , 16.12])
    """
    values = np.asarray(probabilities, dtype=np.float64)
    logits: Floats = logit(np.clip(values, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    return logits


def checked(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[Labels, Floats]:
    """Labels as booleans and probabilities as float64, both (n,), fit for every measure of this package.

    Raises:
        RequestError: there are none, their numbers differ, a label is not 0 or 1, or a probability is not in [0, 1].

    >>> checked([0, 1], [0.25, 0.75])
    (array([False,  True]), array([0.25, 0.75]))
    """
    truth, scores = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != scores.shape or not truth.size:
        raise RequestError(f"one label and one probability a patch are needed: got {truth.shape} and {scores.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise RequestError(f"labels must be 0 or 1: got {np.unique(truth)[:5].tolist()}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise RequestError("probabilities must be numbers from 0 to 1: got some that are not")
    return truth.astype(bool), scores
