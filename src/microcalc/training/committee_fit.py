"""The committee's fit, on patients that no expert saw: its weights, its calibration and its threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch.nn import functional

from microcalc.committee.calibration import Calibration, DecisionRule, Floats, checked, logits_of
from microcalc.errors import RequestError
from microcalc.training.splits import split_groups

EPOCHS = 400
PATIENCE = 60
LEARNING_RATE = 0.05
STOPPING_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Learned weights, and what they were at each epoch up to the stop.

    Attributes:
        weights: (experts,) in (0, 1), summing to 1, of the epoch with the least loss on the stopping share.
        history: ``loss``, ``accuracy``, ``holdout_loss`` and ``weights``.
    """

    weights: NDArray[np.float64]
    history: dict[str, list[float] | list[list[float]]]


def fit_rule(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], sensitivity: float | None = None
) -> DecisionRule:
    """Calibrate the committee's raw averages and choose the threshold, both on the same patches.

    Args:
        probabilities: (n,) averages of the experts, of patches that no expert has seen.
        labels: (n,) 0 or 1.
        sensitivity: that the threshold shall reach; None for the best balanced accuracy.

    >>> fit_rule(np.array([0.2, 0.3, 0.7, 0.9]), np.array([0, 0, 1, 1])).threshold
    0.5
    """
    calibration = fit_calibration(probabilities, labels)
    return DecisionRule(calibration, choose_threshold(labels, calibration.apply(probabilities), sensitivity))


def learn_weights(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    seed: int,
) -> Ensemble:
    """Weigh the experts so that their average is right, by the cross-entropy that stands in for accuracy.

    Half of the patients train the weights; the others say when to stop. The weights start equal, and their scores (of
    which they are the softmax) have a standard normal prior: where few patches distinguish the experts, the average
    stays an average, and no chance start decides.

    Args:
        probabilities: (n, experts) of patches that no expert saw.
        labels: (n,) 0 or 1.
        groups: (n,) patients.
        seed: of the halves.

    >>> labels, groups = np.arange(80) % 2, np.arange(80) // 4
    >>> good, useless = np.where(labels == 1, 0.9, 0.1), np.full(80, 0.5)
    >>> ensemble = learn_weights(np.stack([good, useless], axis=1), labels, groups, seed=0)
    >>> bool(ensemble.weights[0] > 0.9)
    True
    """
    fitting, stopping = split_groups(labels, groups, STOPPING_SHARE, seed)
    values = torch.from_numpy(probabilities).float().clamp(1e-6, 1 - 1e-6)
    targets = torch.from_numpy(labels).float()
    scores = torch.zeros_like(values[0], requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=LEARNING_RATE)
    curves: dict[str, list[float]] = {"loss": [], "accuracy": [], "holdout_loss": []}
    weights: list[list[float]] = []
    for epoch in range(EPOCHS):
        shares = torch.softmax(scores, dim=0)
        loss = functional.binary_cross_entropy(values[fitting] @ shares, targets[fitting])
        with torch.no_grad():
            combined = values @ shares
            weights.append(shares.tolist())
            curves["loss"].append(loss.item())
            curves["accuracy"].append(((combined[fitting] >= 0.5) == (targets[fitting] > 0.5)).float().mean().item())
            curves["holdout_loss"].append(functional.binary_cross_entropy(combined[stopping], targets[stopping]).item())
        if epoch - chosen_epoch(curves["holdout_loss"]) >= PATIENCE:
            break
        optimizer.zero_grad()
        torch.autograd.backward(loss + scores.square().sum() / (2 * len(fitting)))
        optimizer.step()
    best = np.array(weights[chosen_epoch(curves["holdout_loss"])], np.float64)
    return Ensemble(best / best.sum(), {**curves, "weights": weights})


def chosen_epoch(holdout_loss: Sequence[float]) -> int:
    """The epoch whose weights are taken: that of least loss on the stopping share, after one step at least.

    The weights start equal, so the order of the experts would otherwise not come from the patches.

    >>> chosen_epoch([0.1, 0.3, 0.2])
    2
    """
    return 1 + int(np.argmin(holdout_loss[1:])) if len(holdout_loss) > 1 else 0


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
