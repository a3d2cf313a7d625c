"""The map from the committee's raw average to a probability that means what it says."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from microcalc.errors import RequestError

Floats = npt.NDArray[np.float64]

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


def logits_of(probabilities: npt.ArrayLike) -> Floats:
    """Logarithms of the odds, finite: probabilities nearer than 1e-7 to 0 and 1 count as that near.

    >>> logits_of([0.5, 1.0]).round(2)
    array([ 0.  , 16.12])
    """
    values = np.asarray(probabilities, dtype=np.float64)
    logits: Floats = logit(np.clip(values, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    return logits
