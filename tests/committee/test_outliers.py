"""The outlier detector's statistics and arithmetic; tests/training/test_outliers.py shows what a fitted one flags."""

import json

import numpy as np
import pytest

from microcalc.committee.outliers import KINDS, STATISTICS, OutlierDetector, SavedDetector, outlier_statistics
from microcalc.data.phantom import make_phantom
from microcalc.errors import RequestError
from microcalc.files import checked

PATCHES = make_phantom(patients=4, seed=0)[0]
DEVIATIONS, SKEWNESS = [0, 3, 6], [1, 4, 7]


def detector(**changes: object) -> OutlierDetector:
    weights = np.random.default_rng(0).normal(size=(len(KINDS), STATISTICS))
    fitted = {"weights": weights, "intercepts": np.zeros(len(KINDS)), "threshold": 3.0, "false_alarm_rate": 0.01}
    return OutlierDetector(**{**fitted, **changes})


def test_statistics_do_not_depend_on_brightness() -> None:
    darker = outlier_statistics(0.5 * PATCHES)
    np.testing.assert_allclose(outlier_statistics(0.5 * PATCHES + 0.3), darker, atol=2e-2)


def test_only_the_deviations_depend_on_gain() -> None:
    # A large gain, so that the noise floor, which gain does not scale, is out of the way.
    one, other = outlier_statistics(20 * PATCHES), outlier_statistics(40 * PATCHES)
    np.testing.assert_allclose(other[:, DEVIATIONS] - one[:, DEVIATIONS], np.log(2), atol=1e-3)
    others = np.delete(np.arange(STATISTICS), DEVIATIONS)
    np.testing.assert_allclose(other[:, others], one[:, others], atol=2e-2)


def test_inverting_a_patch_turns_the_skewness_round() -> None:
    upright, inverted = outlier_statistics(PATCHES), outlier_statistics(1 - PATCHES)
    np.testing.assert_allclose(inverted[:, SKEWNESS], -upright[:, SKEWNESS], atol=1e-3)


def test_statistics_do_not_depend_on_the_other_patches_of_a_batch() -> None:
    many = np.concatenate([PATCHES] * 40)[:200]
    np.testing.assert_array_equal(outlier_statistics(many)[150:], outlier_statistics(many[150:]))


def test_no_patch_and_flat_patches_have_finite_statistics() -> None:
    assert outlier_statistics(PATCHES[:0]).shape == (0, STATISTICS)
    assert np.isfinite(outlier_statistics(np.stack([np.zeros((60, 60)), np.ones((60, 60))]))).all()


def test_a_detector_is_the_same_after_json() -> None:
    fitted = detector()
    again = checked(SavedDetector, json.loads(json.dumps(fitted.plain()))).detector()
    np.testing.assert_array_equal(again.distances(PATCHES), fitted.distances(PATCHES))
    assert (again.threshold, again.false_alarm_rate) == (3.0, 0.01)


def test_a_distance_is_never_below_zero() -> None:
    assert (detector(intercepts=np.full(len(KINDS), -50.0)).distances(PATCHES) >= 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((3, STATISTICS))},
        {"weights": np.full((len(KINDS), STATISTICS), np.nan)},
        {"intercepts": np.zeros(1)},
        {"threshold": 0.0},
        {"threshold": np.inf},
        {"false_alarm_rate": 1.0},
    ],
)
def test_a_detector_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="outlier detector needs"):
        detector(**change)
