"""The calibration of a committee, and the threshold at which its probabilities become decisions."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from microcalc.committee.calibration import Calibration, Floats, checked, logits_of
from microcalc.errors import RequestError


def fit_calibration(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Calibration:
    """Platt scaling of the logits (Platt, Advances in Large Margin Classifiers, 1999), with his smoothed targets.

    The logarithm of the slope has a standard normal prior, worth about one patch: the slope stays above 0, near 1
    where a few patches say little, and finite where the classes are separated without error.

    Args:
        probabilities: (n,), in [0, 1], of patches that the model did not learn from.
        labels: (n,), 1 where a cluster is present; both classes.

    Raises:
        RequestError: only one class is there, or see :func:`microcalc.committee.calibration.checked`.

    >>> overconfident = fit_calibration([0.02, 0.03, 0.98, 0.01, 0.99, 0.97, 0.02, 0.99], [0, 0, 0, 0, 1, 1, 1, 1])
    >>> 0 < overconfident.slope < 1
    True
    """
    truth, scores = checked(labels, probabilities)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        raise RequestError("a calibration needs patches of both classes: got one class only")
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = logits_of(scores)

    def objective(parameters: Floats) -> tuple[float, Floats]:
        log_slope, intercept = parameters
        slope = np.exp(log_slope)
        lines = slope * logits + intercept
        residuals = expit(lines) - targets
        loss = np.sum(np.logaddexp(0.0, lines) - targets * lines) + log_slope**2 / 2
        return float(loss), np.array([np.sum(residuals * logits) * slope + log_slope, residuals.sum()])

    log_slope, intercept = minimize(objective, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-7, 7), (-30, 30)]).x
    return Calibration(float(np.exp(log_slope)), float(intercept))


def choose_threshold(labels: npt.ArrayLike, probabilities: npt.ArrayLike, sensitivity: float | None = None) -> float:
    """The operating point, where a calibrated probability of at least the threshold is positive.

    The best balanced accuracy that calibrated probabilities promise is where the odds of a cluster reach its odds among
    the patches: at their share of positives. The best one found on the patches themselves is the noisier aim: over a
    hundred patches of a dozen patients it costs balanced accuracy and spreads twice as far on new patients.

    Args:
        labels: (n,), 1 where a cluster is present; both classes.
        probabilities: (n,), calibrated, of patches on which the threshold will not be evaluated.
        sensitivity: None for the best balanced accuracy to be expected; a number in (0, 1] for the largest threshold
            with at least this sensitivity on the patches.

    Raises:
        RequestError: only one class is there, ``sensitivity`` is out of range, or see
            :func:`microcalc.committee.calibration.checked`.

    >>> choose_threshold([0, 0, 0, 1], [0.1, 0.1, 0.2, 0.9])
    0.25
    >>> choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9], sensitivity=0.95)
    0.6
    """
    truth, scores = checked(labels, probabilities)
    if truth.all() or not truth.any():
        raise RequestError("a threshold is chosen on patches of both classes: got one class only")
    if sensitivity is None:
        return float(truth.mean())
    if not 0 < sensitivity <= 1:
        raise RequestError(f"the sensitivity aimed at must lie in (0, 1]: got {sensitivity}")
    # 0.55 of 20 is 11 positives, though 0.55 * 20 is a little more in floating point.
    needed = int(np.ceil(round(sensitivity * truth.sum(), 9)))
    return float(np.sort(scores[truth])[-needed])
