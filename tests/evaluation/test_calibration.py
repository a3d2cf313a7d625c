"""Calibration by Platt scaling, measures of calibration, choice of the operating threshold."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from microcalc.committee.calibration import Calibration
from microcalc.errors import RequestError
from microcalc.evaluation.metrics import assess
from microcalc.evaluation.reliability import brier_score, expected_calibration_error, reliability_curve
from microcalc.training.committee_fit import choose_threshold, fit_calibration

predictions = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=40).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


def drawn(slope: float, intercept: float, count: int, seed: int = 0):
    """Labels that are positive with the calibrated probability, and the probabilities before calibration."""
    generator = np.random.default_rng(seed)
    probabilities = expit(generator.normal(0, 2, count))
    return generator.random(count) < expit(slope * logit(probabilities) + intercept), probabilities


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.4, -1.0), (2.5, 0.5)])
def test_many_patches_give_back_the_line_they_were_drawn_from(slope, intercept):
    labels, probabilities = drawn(slope, intercept, 20_000)
    calibration = fit_calibration(probabilities, labels)
    assert calibration.slope == pytest.approx(slope, rel=0.08)
    assert calibration.intercept == pytest.approx(intercept, abs=0.08)


def test_a_hundred_patches_calibrate_new_ones_better_than_none():
    gains = []
    for seed in range(20):
        labels, probabilities = drawn(0.3, -1.0, 100, seed)
        new_labels, new = drawn(0.3, -1.0, 2000, seed + 1000)
        calibrated = fit_calibration(probabilities, labels).apply(new)
        gains.append(brier_score(new_labels, new) - brier_score(new_labels, calibrated))
    assert min(gains) > 0


@settings(deadline=None)
@given(predictions)
def test_any_predictions_give_a_rising_finite_line(pairs):
    labels, probabilities = zip(*pairs, strict=True)
    calibration = fit_calibration(probabilities, labels)
    calibrated = calibration.apply(np.sort(probabilities))
    assert calibration.slope > 0
    assert np.all(np.diff(calibrated) >= 0)
    assert np.all((calibrated >= 0) & (calibrated <= 1))


@settings(deadline=None)
@given(predictions)
def test_the_fit_is_a_minimum_of_the_penalised_loss(pairs):
    labels, probabilities = (np.array(column) for column in zip(*pairs, strict=True))
    assume(np.ptp(probabilities) > 1e-3)
    fitted = fit_calibration(probabilities, labels)

    def loss(log_slope, intercept):
        targets = np.where(labels, (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2))
        lines = np.exp(log_slope) * logit(np.clip(probabilities, 1e-7, 1 - 1e-7)) + intercept
        return np.sum(np.logaddexp(0, lines) - targets * lines) + log_slope**2 / 2

    best = loss(np.log(fitted.slope), fitted.intercept)
    for step in (-0.05, 0.05):
        assert loss(np.log(fitted.slope) + step, fitted.intercept) > best - 1e-6
        assert loss(np.log(fitted.slope), fitted.intercept + step) > best - 1e-6


def test_classes_separated_without_error_stay_short_of_certainty():
    labels = np.arange(100) % 2
    for low, high in ((0.0, 1.0), (0.49, 0.51)):
        calibrated = fit_calibration(np.where(labels, high, low), labels).apply([low, high])
        assert 0.001 < calibrated[0] < 0.1
        assert 0.9 < calibrated[1] < 0.999


def test_upside_down_predictions_are_flattened_never_turned_round():
    calibration = fit_calibration([0.9, 0.8, 0.95, 0.1, 0.2, 0.05], [0, 0, 0, 1, 1, 1])
    assert 0 < calibration.slope < 0.5


def test_calibration_needs_both_classes():
    with pytest.raises(RequestError, match="both classes"):
        fit_calibration([0.2, 0.8], [1, 1])


@pytest.mark.parametrize("slope", [0.0, -1.0, np.nan, np.inf])
def test_a_line_that_does_not_rise_is_refused(slope):
    with pytest.raises(RequestError, match="slope above 0"):
        Calibration(slope, 0.0)


def test_expected_calibration_error_tells_calibrated_from_overconfident():
    labels, probabilities = drawn(1.0, 0.0, 20_000)
    assert expected_calibration_error(labels, probabilities) < 0.015
    labels, probabilities = drawn(0.3, 0.0, 20_000)
    assert expected_calibration_error(labels, probabilities) > 0.15


def test_a_bin_of_many_patches_counts_more_than_one_of_few():
    labels, probabilities = [0] * 8 + [0, 1], [0.1] * 8 + [0.9] * 2
    assert expected_calibration_error(labels, probabilities) == pytest.approx(0.8 * 0.1 + 0.2 * 0.4)


@settings(deadline=None)
@given(predictions)
def test_reliability_bins_hold_every_patch_once(pairs):
    labels, probabilities = zip(*pairs, strict=True)
    curve = reliability_curve(labels, probabilities)
    assert curve.counts.sum() == len(pairs)
    assert len(curve.counts) <= 10
    assert np.average(curve.predicted, weights=curve.counts) == pytest.approx(np.mean(probabilities))
    assert np.average(curve.observed, weights=curve.counts) == pytest.approx(np.mean(labels))
    assert np.all(np.diff(curve.predicted) > 0)


def test_a_hundred_distinct_probabilities_fill_ten_bins_alike():
    curve = reliability_curve(np.arange(100) % 2, np.linspace(0, 1, 100) ** 4)
    assert curve.counts.tolist() == [10] * 10


@pytest.mark.parametrize("intercept", [-2.0, 0.0, 1.0])
def test_no_threshold_beats_the_chosen_one_in_balanced_accuracy_where_probabilities_are_calibrated(intercept):
    labels, probabilities = drawn(1.0, intercept, 20_000)
    calibrated = Calibration(1.0, intercept).apply(probabilities)
    chosen = assess(labels, calibrated, choose_threshold(labels, calibrated))["balanced_accuracy"]
    for threshold in np.linspace(0.02, 0.98, 25):
        assert chosen >= assess(labels, calibrated, threshold)["balanced_accuracy"] - 0.005


@pytest.mark.slow
@settings(deadline=None)
@given(predictions, st.floats(0.01, 1.0))
def test_the_threshold_is_the_largest_that_reaches_the_stated_sensitivity(pairs, sensitivity):
    labels, probabilities = zip(*pairs, strict=True)
    chosen = choose_threshold(labels, probabilities, sensitivity=sensitivity)
    assert assess(labels, probabilities, chosen)["sensitivity"] >= sensitivity - 1e-9
    for higher in probabilities:
        if higher > chosen:
            assert assess(labels, probabilities, higher)["sensitivity"] < sensitivity


@pytest.mark.parametrize(("sensitivity", "missed"), [(0.95, 1), (0.55, 9), (1.0, 0), (0.951, 0)])
def test_of_twenty_positives_no_more_are_missed_than_the_sensitivity_allows(sensitivity, missed):
    positives = np.linspace(0.05, 1.0, 20)
    chosen = choose_threshold([0] + [1] * 20, [0.0, *positives], sensitivity=sensitivity)
    assert chosen == positives[missed]


@pytest.mark.parametrize("sensitivity", [0.0, 1.01, -1.0, np.nan])
def test_a_sensitivity_out_of_range_is_refused(sensitivity):
    with pytest.raises(RequestError, match=r"\(0, 1\]"):
        choose_threshold([0, 1], [0.1, 0.9], sensitivity=sensitivity)


def test_a_threshold_needs_both_classes():
    with pytest.raises(RequestError, match="both classes"):
        choose_threshold([1, 1], [0.1, 0.9])
