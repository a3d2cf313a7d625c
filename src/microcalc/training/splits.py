"""Grouped, stratified splits, and the guard that no reported figure comes from a patient already seen."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, count, pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from microcalc.errors import MicrocalcError, RequestError

Indices = NDArray[np.int64]


class LeakError(MicrocalcError):
    """A patient stands on both sides of a split, or a figure would come from a patch already seen."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of the outer split; every part holds indices of patches, and no group is in two of them.

    ``training`` and ``holdout`` together are the development set: the search trains on the first and chooses on
    the second; the final training uses both.
    """

    training: Indices
    holdout: Indices
    test: Indices

    @property
    def development(self) -> Indices:
        """All that the fold's expert may see."""
        return np.sort(np.concatenate([self.training, self.holdout]))


@dataclass(frozen=True, eq=False)
class StudySplit:
    """The patches that weigh the committee, and the folds of all others.

    ``grouped`` is False for the naive protocol alone, which shows what happens without the guards below.
    """

    committee: Indices
    folds: tuple[Fold, ...]
    grouped: bool = True


class TooFewPatientsError(RequestError):
    """A class has too few patients for a setting."""


def split_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int, name: str = "fraction"
) -> tuple[Indices, Indices]:
    """Set a share of the patients aside, as nearly as whole patients allow, with the classes in proportion.

    The number of patients is that nearest to the share, in all and among those with only normal patches, with only
    clusters and with both. They are drawn at random, one from each run of patients with like numbers of patches, so
    that the share of the patches comes close too.

    Args:
        labels: (n,) 0 or 1.
        groups: (n,) patients.
        fraction: of the patients, above 0 and up to 0.5.
        seed: of the choice.
        name: of the setting that the fraction comes from, for the error.

    Returns:
        Indices of the rest and of the part, each sorted.

    Raises:
        TooFewPatientsError: for both sides to hold both classes.

    >>> rest, part = split_groups(np.arange(40) % 2, np.arange(40) // 2, 0.4, seed=0)
    >>> len(rest), len(part), set(rest // 2) & set(part // 2)
    (24, 16, set())
    """
    _check_patients(labels, groups, _fewest_for(fraction), (name, fraction))
    patients, of_patch = np.unique(groups, return_inverse=True)
    patches = np.bincount(of_patch)
    clusters = np.bincount(of_patch, labels)
    only_normal, only_clusters = clusters == 0, clusters == patches
    kinds = [np.flatnonzero(kind) for kind in (only_normal, only_clusters, ~(only_normal | only_clusters))]
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(patients), bool)
    for kind, number in zip(kinds, _nearest_numbers([len(kind) for kind in kinds], fraction), strict=True):
        shuffled = generator.permutation(kind)
        by_size = shuffled[np.argsort(patches[shuffled], kind="stable")]
        if number:
            ends = np.linspace(0, len(kind), number + 1).round().astype(int)
            chosen[[generator.choice(by_size[start:end]) for start, end in pairwise(ends)]] = True
    part = chosen[of_patch]
    if len(np.unique(labels[part])) < 2 or len(np.unique(labels[~part])) < 2:
        raise TooFewPatientsError(
            f"{name}={fraction:g} leaves a part by patient without both classes; give more patients or another fraction"
        )
    return np.flatnonzero(~part), np.flatnonzero(part)


def _nearest_numbers(sizes: list[int], fraction: float) -> list[int]:
    """How many of each kind make the share of all, rounded to whole ones; largest remainders first.

    >>> _nearest_numbers([26, 67, 4], 0.15)
    [4, 10, 1]
    """
    exact = fraction * np.array(sizes)
    numbers = np.floor(exact).astype(int)
    more = math.floor(exact.sum() + 0.5) - numbers.sum()
    numbers[np.argsort(numbers - exact, kind="stable")[:more]] += 1
    return [int(number) for number in numbers]


def _fewest_for(fraction: float) -> int:
    """The patients of a class of which the share is one rather than none, whatever the other class has.

    >>> _fewest_for(0.25), _fewest_for(0.5)
    (3, 2)
    """
    return math.ceil(round(0.75 / fraction, 9))


def split_study(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    folds: int,
    validation_fraction: float,
    committee_fraction: float,
    seed: int,
) -> StudySplit:
    """The whole plan of a study: patients of the committee first, then the outer folds, each with its hold-out.

    Raises:
        TooFewPatientsError: naming the setting that needs more of them, and how many would do.

    >>> labels, groups = np.arange(200) % 2, np.arange(200) // 4
    >>> split = split_study(labels, groups, folds=5, validation_fraction=0.25, committee_fraction=0.15, seed=0)
    >>> len(split.committee), [len(fold.test) for fold in split.folds]
    (32, [36, 32, 32, 32, 36])
    """
    try:
        others, committee = split_groups(labels, groups, committee_fraction, seed, "committee_fraction")
        _check_committee(labels[committee], groups[committee], committee_fraction)
        parts = []
        for number, (development, test) in enumerate(grouped_folds(labels[others], groups[others], folds, seed)):
            development = others[development]
            training, holdout = split_groups(
                labels[development], groups[development], validation_fraction, seed + number, "validation_fraction"
            )
            parts.append(Fold(training=development[training], holdout=development[holdout], test=others[test]))
    except TooFewPatientsError as error:
        enough = fewest_patients(folds, validation_fraction, committee_fraction)
        have = " and ".join(str(len(np.unique(groups[labels == label]))) for label in (0, 1))
        raise TooFewPatientsError(
            f"{error}. A study with these settings takes about {enough} patients of each class; the data have {have}"
        ) from error
    split = StudySplit(committee=committee, folds=tuple(parts))
    check_split(split, groups)
    return split


def fewest_patients(folds: int, validation_fraction: float, committee_fraction: float) -> int:
    """The patients of each class that a study takes, where each patient has one class and all have as many patches.

    >>> fewest_patients(5, validation_fraction=0.25, committee_fraction=0.15)
    12
    """
    for patients in count(_fewest_for(committee_fraction)):
        committee = math.floor(2 * committee_fraction * patients + 0.5)
        others = patients - math.ceil(committee / 2)
        development = others - math.ceil(others / folds)
        if committee >= 4 and others >= folds and development >= _fewest_for(validation_fraction):
            return patients
    raise AssertionError


def _check_committee(labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float) -> None:
    """The committee's weights are fitted on one half of its patients and stopped on the other."""
    for label in (0, 1):
        holders = len(np.unique(groups[labels == label]))
        if holders < 2:
            raise TooFewPatientsError(
                f"committee_fraction={fraction:g} leaves the committee {holders} patient of label {label}, "
                "but it needs at least 2 of each class"
            )


def grouped_folds(
    labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int
) -> Iterable[tuple[Indices, Indices]]:
    """Indices of the rest and of the part, for each of ``folds`` parts by whole groups, the classes in proportion.

    Args:
        labels: (n,) 0 or 1.
        groups: (n,) patients.
        folds: number of parts.
        seed: of the choice.

    Raises:
        TooFewPatientsError: for every side to hold both classes.
    """
    _check_patients(labels, groups, folds, ("folds", folds))
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for rest, part in splitter.split(np.zeros(len(labels)), labels, groups):
        if len(np.unique(labels[part])) < 2 or len(np.unique(labels[rest])) < 2:
            fewest = min(len(np.unique(groups[labels == label])) for label in (0, 1))
            raise TooFewPatientsError(
                f"folds={folds} leaves a part by patient without both classes, for its patients differ much in "
                f"their numbers of patches; {_way_out('folds', fewest - 1)}, or another seed"
            )
        yield rest, part


def _check_patients(
    labels: NDArray[np.int64], groups: NDArray[np.int64], needed: int, setting: tuple[str, float]
) -> None:
    name, value = setting
    for label in (0, 1):
        holders = len(np.unique(groups[labels == label]))
        if holders < needed:
            raise TooFewPatientsError(
                f"{name}={value:g} takes at least {needed} patients of each class, "
                f"but label {label} has {holders} here; {_way_out(name, holders)}"
            )


def _way_out(name: str, patients: int) -> str:
    """Return the fraction to give instead, where a class has this many patients."""
    if patients < 2:
        return "give more patients"
    if name == "folds":
        return f"give more patients or at most folds={patients}"
    return f"give more patients or at least {name}={math.ceil(750 / patients) / 1000:g}"


def check_split(split: StudySplit, groups: NDArray[np.int64]) -> None:
    """Refuse a split in which a group is on two sides.

    Raises:
        LeakError: naming the group.

    >>> fold = Fold(training=np.array([0]), holdout=np.array([1]), test=np.array([2]))
    >>> check_split(StudySplit(committee=np.array([3]), folds=(fold,)), groups=np.array([0, 1, 0, 2]))
    Traceback (most recent call last):
    ...
    microcalc.training.splits.LeakError: group 0 is both in training and in test
    """
    if not split.grouped:
        return
    for fold in split.folds:
        sides = {"training": fold.training, "holdout": fold.holdout, "test": fold.test, "committee": split.committee}
        for first, second in combinations(sides, 2):
            shared = np.intersect1d(groups[sides[first]], groups[sides[second]])
            if len(shared):
                raise LeakError(f"group {shared[0]} is both in {first} and in {second}")


def check_unseen(reported: Indices, seen: Indices, groups: NDArray[np.int64], what: str) -> None:
    """Refuse to report on patches whose patient any evaluated part has seen.

    Args:
        reported: indices of the patches that a figure is about to be computed from.
        seen: indices of all that reached the evaluated parts by training, tuning, weighting, thresholds or calibration.
        groups: (n,) group of each patch.
        what: the name of the figure, for the message.

    Raises:
        LeakError: naming the figure and how many patches are affected.
    """
    leaked = np.isin(groups[reported], groups[seen])
    if leaked.any():
        raise LeakError(f"{what}: {int(leaked.sum())} of {len(reported)} patches come from patients already seen")
