"""Figures of a set of predictions, and their intervals by bootstrap over patients."""

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.errors import RequestError
from microcalc.evaluation.intervals import MEASURES, bootstrap_intervals
from microcalc.evaluation.metrics import assess, auc_costs, mean_roc, roc

predictions = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])), min_size=1, max_size=30
)


def study(patients: int, patches: int, seed: int = 0) -> tuple[npt.NDArray[np.int64], ...]:
    """Labels, probabilities and groups; half of the noise is common to all patches of a patient."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), patches)
    labels = np.arange(patients)[groups] % 2
    noise = generator.normal(size=patients)[groups] + generator.normal(size=groups.size)
    return labels, 1 / (1 + np.exp(-2 * labels + 1 - noise)), groups


@settings(deadline=None)
@given(predictions)
def test_auc_is_the_share_of_pairs_ranked_rightly(pairs):
    positives = [score for label, score in pairs if label]
    negatives = [score for label, score in pairs if not label]
    auc = assess(*zip(*pairs, strict=True))["auc"]
    if not positives or not negatives:
        assert auc is None
    else:
        won = [(high > low) + (high == low) / 2 for high in positives for low in negatives]
        assert auc == pytest.approx(np.mean(won))


@settings(deadline=None)
@given(predictions)
def test_a_patch_costs_the_auc_the_share_of_pairs_that_it_has_wrong(pairs):
    labels, scores = zip(*pairs, strict=True)
    if len(set(labels)) < 2:
        return
    costs = auc_costs(labels, scores)
    positives = [score for label, score in pairs if label]
    negatives = [score for label, score in pairs if not label]
    for (label, score), cost in zip(pairs, costs, strict=True):
        wrong = [score < other for other in negatives] if label else [score > other for other in positives]
        tied = [score == other for other in (negatives if label else positives)]
        assert cost == pytest.approx((sum(wrong) + sum(tied) / 2) / (len(positives) * len(negatives)))
    auc = assess(labels, scores)["auc"]
    assert [sum(costs[np.array(labels) == label]) for label in (0, 1)] == pytest.approx([1 - auc] * 2)


def test_of_one_class_no_patch_costs_an_auc():
    with pytest.raises(RequestError, match="both classes"):
        auc_costs([1, 1], [0.2, 0.8])


@settings(deadline=None)
@given(predictions, st.sampled_from([0.1, 0.3, 0.4, 0.5, 1.0]))
def test_figures_follow_from_the_confusion_matrix_and_survive_json(pairs, threshold):
    figures = assess(*zip(*pairs, strict=True), threshold=threshold)
    (tn, fp), (fn, tp) = figures["confusion"]
    assert tp == sum(label and score >= threshold for label, score in pairs)
    assert tn == sum(not label and score < threshold for label, score in pairs)
    assert tn + fp + fn + tp == figures["n"] == len(pairs)
    assert figures["accuracy"] == (tp + tn) / len(pairs)
    assert figures["sensitivity"] == (tp / (tp + fn) if tp + fn else None)
    assert figures["specificity"] == (tn / (tn + fp) if tn + fp else None)
    assert [figures[name] is None for name in ("auc", "balanced_accuracy")] == [not (tp + fn and tn + fp)] * 2
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([], []), ([0, 1], [0.5]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, np.nan]), ([0, 1], [0.1, 1.1]), ([[0]], [[0.1]])],
)
def test_what_is_not_a_set_of_predictions_is_refused(labels, probabilities):
    with pytest.raises(RequestError):
        assess(labels, probabilities)


def test_roc_runs_from_corner_to_corner_and_encloses_the_auc():
    labels, probabilities, _ = study(20, 3)
    false_positive_rate, true_positive_rate = roc(labels, probabilities)
    assert [rates[end] for rates in (false_positive_rate, true_positive_rate) for end in (0, -1)] == [0, 1, 0, 1]
    area = np.trapezoid(true_positive_rate, false_positive_rate)
    assert area == pytest.approx(assess(labels, probabilities)["auc"])


def test_mean_of_equal_folds_is_the_fold_itself_without_spread():
    labels, probabilities, _ = study(20, 3)
    mean = mean_roc([(labels, probabilities)] * 3)
    assert mean.spread == pytest.approx(np.zeros(101))
    assert mean.auc_spread == pytest.approx(0)
    assert mean.auc_mean == pytest.approx(assess(labels, probabilities)["auc"])
    assert np.interp(0.3, mean.false_positive_rate, mean.true_positive_rate) == pytest.approx(
        np.interp(0.3, *roc(labels, probabilities))
    )


def test_mean_roc_spreads_where_folds_differ_and_starts_at_the_origin():
    mean = mean_roc([([0, 1], [0.1, 0.9]), ([0, 1], [0.9, 0.1])])
    assert (mean.true_positive_rate[0], mean.true_positive_rate[50], mean.true_positive_rate[-1]) == (0, 0.5, 1)
    assert mean.spread[50] == pytest.approx(np.sqrt(0.5))
    assert (mean.auc_mean, mean.auc_spread) == (0.5, pytest.approx(np.sqrt(0.5)))


@pytest.mark.parametrize("folds", [[], [([1, 1], [0.1, 0.9])]])
def test_no_curve_of_no_fold_or_of_one_class(folds):
    with pytest.raises(RequestError):
        mean_roc(folds)


def figures_by_definition(labels, probabilities):
    """In the order of MEASURES, for a threshold of 0.5."""
    positives, negatives = probabilities[labels == 1], probabilities[labels == 0]
    won = (positives[:, None] > negatives) + (positives[:, None] == negatives) / 2
    sensitivity, specificity = np.mean(positives >= 0.5), np.mean(negatives < 0.5)
    right = np.mean((probabilities >= 0.5) == labels)
    return won.mean(), right, (sensitivity + specificity) / 2, sensitivity, specificity


def test_intervals_are_the_percentiles_of_figures_computed_resample_by_resample():
    labels, probabilities, groups = study(12, 3)
    probabilities = probabilities.round(1)
    intervals = bootstrap_intervals(labels, probabilities, groups, 0.5, seed=3, rounds=4000)
    generator = np.random.default_rng(4)
    members = [np.flatnonzero(groups == group) for group in range(12)]
    figures = []
    while len(figures) < 4000:
        drawn = np.concatenate([members[group] for group in generator.integers(0, 12, 12)])
        if 0 < labels[drawn].sum() < len(drawn):
            figures.append(figures_by_definition(labels[drawn], probabilities[drawn]))
    for name, bounds in zip(MEASURES, np.quantile(figures, (0.025, 0.975), axis=0).T, strict=True):
        assert intervals[f"{name}_ci95"] == pytest.approx(bounds, abs=0.035)


def test_an_interval_of_95_percent_leaves_out_one_in_forty_at_either_end():
    """Where 20 of 40 patients are found, a resample finds as many as 40 tosses of a coin: 14 to 26 in 95 %."""
    intervals = bootstrap_intervals([1] * 40, [0.9, 0.1] * 20, range(40), rounds=20_000)
    assert intervals["sensitivity_ci95"] == intervals["accuracy_ci95"] == [0.35, 0.65]


def test_patches_of_one_patient_widen_the_interval():
    labels, probabilities, groups = study(40, 8)
    together = bootstrap_intervals(labels, probabilities, groups)["auc_ci95"]
    apart = bootstrap_intervals(labels, probabilities, np.arange(labels.size))["auc_ci95"]
    assert np.ptp(together) > 1.3 * np.ptp(apart)


def test_intervals_are_reproducible_and_depend_on_the_seed():
    first, same, other = (bootstrap_intervals(*study(20, 3), seed=seed, rounds=200) for seed in (1, 1, 2))
    assert first == same != other


def test_intervals_are_the_same_whatever_the_memory_allows_at_once(monkeypatch):
    whole = bootstrap_intervals(*study(20, 3), rounds=200)
    monkeypatch.setattr("microcalc.evaluation.intervals.LARGEST_BLOCK", 60 * 64)
    assert bootstrap_intervals(*study(20, 3), rounds=200).keys() == whole.keys()
    assert bootstrap_intervals(*study(20, 3), rounds=200)["auc_ci95"] == pytest.approx(whole["auc_ci95"], abs=0.03)


@pytest.mark.parametrize(
    ("normal", "clusters", "defined"),
    [
        (6, 6, set(MEASURES)),
        (5, 6, {"accuracy", "sensitivity"}),
        (6, 1, {"accuracy", "specificity"}),
        (0, 6, {"accuracy", "sensitivity"}),
        (2, 3, set()),
    ],
)
def test_a_figure_has_an_interval_where_six_patients_of_each_class_it_needs_are_there(normal, clusters, defined):
    """Patients of one class; each of them has two patches."""
    labels = [0] * 2 * normal + [1] * 2 * clusters
    intervals = bootstrap_intervals(labels, [0.2, 0.7] * (normal + clusters), np.arange(len(labels)) // 2, rounds=300)
    assert {name for name in MEASURES if intervals[f"{name}_ci95"] is not None} == defined


def test_groups_must_fit_the_patches():
    with pytest.raises(RequestError, match="one group a patch"):
        bootstrap_intervals([0, 1], [0.2, 0.8], [1, 2, 3])
