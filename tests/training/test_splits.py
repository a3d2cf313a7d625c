import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microcalc.data import Data
from microcalc.errors import RequestError
from microcalc.evaluation.study_figures import Predicted, out_of_fold
from microcalc.training.splits import (
    Fold,
    LeakError,
    StudySplit,
    TooFewPatientsError,
    fewest_patients,
    grouped_folds,
    split_groups,
    split_study,
)

PLAN = {"folds": 5, "validation_fraction": 0.25, "committee_fraction": 0.15}


def patients(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 12, count)
    groups = np.repeat(np.arange(count), sizes)
    labels = (groups + (generator.random(len(groups)) < 0.1)) % 2
    return labels.astype(np.int64), groups.astype(np.int64)


def parts(split: StudySplit) -> list[np.ndarray]:
    return [split.committee, *(fold.test for fold in split.folds)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_every_patch_is_tested_once_or_weighs_the_committee_and_no_patient_is_on_two_sides(seed: int) -> None:
    labels, groups = patients(seed)
    split = split_study(labels, groups, **PLAN, seed=seed)
    assert sorted(np.concatenate(parts(split)).tolist()) == list(range(len(labels)))
    for fold in split.folds:
        four = (fold.training, fold.holdout, fold.test, split.committee)
        assert sorted(np.concatenate(four).tolist()) == list(range(len(labels)))
        assert fold.development.tolist() == sorted([*fold.training.tolist(), *fold.holdout.tolist()])
        sides = [set(groups[side]) for side in four]
        assert sum(map(len, sides)) == len(set().union(*sides))


def test_the_same_seed_gives_the_same_split_and_another_does_not() -> None:
    labels, groups = patients(seed=0)
    first, again, other = (split_study(labels, groups, **PLAN, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(parts(first), parts(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(parts(first), parts(other), strict=True))


@pytest.mark.parametrize("side", ["training", "holdout", "committee"])
def test_a_reported_patch_that_reached_training_tuning_or_weighting_is_refused(side: str) -> None:
    labels, groups = patients(seed=0)
    split = split_study(labels, groups, **PLAN, seed=0)
    fold = split.folds[0]
    leaked = fold.test[:1]
    sides = {"training": fold.training, "holdout": fold.holdout, "committee": split.committee}
    sides[side] = np.append(sides[side], leaked)
    leaky = StudySplit(
        committee=sides["committee"],
        folds=(Fold(training=sides["training"], holdout=sides["holdout"], test=fold.test), *split.folds[1:]),
    )
    n = len(labels)
    names = tuple(map(str, range(n)))
    data = Data("made", np.zeros((n, 60, 60), np.float32), labels, groups, names, names)
    with pytest.raises(LeakError):
        out_of_fold(Predicted(data, np.zeros((n, 5)), np.zeros(n), 0.5), leaky)


def test_too_few_patients_for_a_share_are_refused() -> None:
    labels = np.array([0, 1] * 10)
    with pytest.raises(RequestError, match="at least 3 patients of each class"):
        split_groups(labels, np.zeros(20, np.int64), 0.25, seed=0)


@pytest.mark.parametrize("fraction", [0.05, 0.15, 0.25, 0.3, 0.4, 0.45, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_share_of_the_patients_is_taken_as_given(fraction: float, seed: int) -> None:
    labels, groups = patients(seed, count=97)
    rest, part = split_groups(labels, groups, fraction, seed)
    assert sorted([*rest, *part]) == list(range(len(labels)))
    assert not set(groups[rest]) & set(groups[part])
    assert abs(len(set(groups[part])) - fraction * 97) <= 0.5
    assert len(part) / len(labels) == pytest.approx(fraction, abs=0.05)
    for label in (0, 1):
        others = set(groups[labels != label])
        assert abs(len(set(groups[part]) - others) - fraction * len(set(groups) - others)) < 1
    assert np.array_equal(split_groups(labels, groups, fraction, seed)[1], part)
    assert not np.array_equal(split_groups(labels, groups, fraction, seed + 1)[1], part)


def one_class_each(patients: int, fewer_clusters: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(labels, groups): as many patients of each class, with three patches each; and fewer with clusters."""
    labels = np.repeat(np.array([0] * patients + [1] * (patients - fewer_clusters), np.int64), 3)
    return labels, np.arange(len(labels), dtype=np.int64) // 3


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        {"folds": 2, "validation_fraction": 0.5, "committee_fraction": 0.5},
        {"folds": 20, "validation_fraction": 0.25, "committee_fraction": 0.15},
        {"folds": 2, "validation_fraction": 0.05, "committee_fraction": 0.3},
        {"folds": 3, "validation_fraction": 0.25, "committee_fraction": 0.02},
    ],
)
def test_as_many_patients_as_an_error_asks_for_do(plan: dict[str, float]) -> None:
    with pytest.raises(
        TooFewPatientsError, match=r"takes about \d+ patients of each class; the data have 3 and 3"
    ) as caught:
        split_study(*one_class_each(3), **plan, seed=0)
    enough = int(re.search(r"about (\d+) patients", str(caught.value))[1])
    assert enough == fewest_patients(**plan)
    for seed in range(10):
        split_study(*one_class_each(enough), **plan, seed=seed)


@pytest.mark.parametrize(
    ("patients", "plan", "binding"),
    [
        (4, PLAN, "committee_fraction=0.15 takes at least 5 patients of each class, but label 0 has 4 here"),
        (8, PLAN, "committee_fraction=0.15 leaves the committee 1 patient of label"),
        (15, PLAN | {"folds": 20}, "folds=20 takes at least 20 patients of each class, but label 0 has 1"),
        (15, PLAN | {"validation_fraction": 0.05}, "validation_fraction=0.05 takes at least 15 patients of each class"),
    ],
)
def test_the_setting_that_takes_more_patients_than_there_are_is_named(patients: int, plan: dict, binding: str) -> None:
    with pytest.raises(TooFewPatientsError, match=binding):
        split_study(*one_class_each(patients), **plan, seed=0)


@pytest.mark.parametrize(("fraction", "patients"), [(0.01, 30), (0.05, 13), (0.15, 4), (0.3, 2)])
def test_the_fraction_that_an_error_offers_does(fraction: float, patients: int) -> None:
    labels, groups = one_class_each(patients)
    with pytest.raises(TooFewPatientsError, match=f"share={fraction} takes .* at least share=") as caught:
        split_groups(labels, groups, fraction, 0, "share")
    offered = float(re.search(r"at least share=([\d.]+)", str(caught.value))[1])
    split_groups(labels, groups, offered, 0, "share")


@pytest.mark.parametrize("patients", [2, 4, 9])
def test_the_folds_that_an_error_offers_do(patients: int) -> None:
    labels, groups = one_class_each(patients)
    with pytest.raises(TooFewPatientsError, match=f"at most folds={patients}$"):
        list(grouped_folds(labels, groups, 10, 0))
    assert len(list(grouped_folds(labels, groups, patients, 0))) == patients


def test_a_class_of_one_patient_is_not_offered_another_setting() -> None:
    with pytest.raises(TooFewPatientsError, match=r"label 1 has 1 here; give more patients$"):
        list(grouped_folds(*one_class_each(4, fewer_clusters=3), 2, 0))
