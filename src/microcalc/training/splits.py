"""Grouped, stratified splits, and the guard that no reported figure comes from a patient already seen."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

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
    """A class has too few patients for what a setting asks for."""


def split_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int, name: str = "fraction"
) -> tuple[Indices, Indices]:
    """Part about ``fraction`` of the patches from the rest, by whole groups and with the classes in proportion.

    Args:
        labels: (n,) 0 or 1.
        groups: (n,) patients.
        fraction: of the part, up to 0.5.
        seed: of the choice.
        name: of the setting that the fraction comes from, for the error.

    Returns:
        Indices of the rest and of the part, each sorted.

    Raises:
        TooFewPatientsError: for both sides to hold both classes.

    >>> rest, part = split_groups(np.arange(40) % 2, np.arange(40) // 2, 0.25, seed=0)
    >>> len(rest), len(part), set(rest // 2) & set(part // 2)
    (30, 10, set())
    """
    rest, part = next(iter(grouped_folds(labels, groups, round(1 / fraction), seed, setting=(name, fraction))))
    return rest, part


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
        TooFewPatientsError: naming the setting that asks for more of them, and how many would do.

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
    14
    """
    committee_parts, holdout_parts = round(1 / committee_fraction), round(1 / validation_fraction)
    for patients in count(2 * committee_parts):
        others = patients - math.ceil(patients / committee_parts)
        if others >= folds and others - math.ceil(others / folds) >= holdout_parts:
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
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: int,
    seed: int,
    *,
    setting: tuple[str, float] | None = None,
) -> Iterable[tuple[Indices, Indices]]:
    """Indices of the rest and of the part, for each of ``folds`` parts by whole groups, the classes in proportion.

    Args:
        labels: (n,) 0 or 1.
        groups: (n,) patients.
        folds: number of parts.
        seed: of the choice.
        setting: name and value of the setting that ``folds`` comes from, for the error; None for ``folds`` itself.

    Raises:
        TooFewPatientsError: for every side to hold both classes.
    """
    name, value = setting or ("folds", folds)
    for label in (0, 1):
        holders = len(np.unique(groups[labels == label]))
        if holders < folds:
            raise TooFewPatientsError(
                f"{name}={value:g} takes at least {folds} patients of each class, "
                f"but label {label} has {holders} here; {_way_out(name, holders)}"
            )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for rest, part in splitter.split(np.zeros(len(labels)), labels, groups):
        if len(np.unique(labels[part])) < 2 or len(np.unique(labels[rest])) < 2:
            fewest = min(len(np.unique(groups[labels == label])) for label in (0, 1))
            raise TooFewPatientsError(
                f"{name}={value:g} leaves a part by patient without both classes, for its patients differ much in "
                f"their numbers of patches; {_way_out(name, fewest - 1)}, or another seed"
            )
        yield rest, part


def _way_out(name: str, parts: int) -> str:
    """What to give instead, so that there are no more than this many parts."""
    if parts < 2:
        return "give more patients"
    if name == "folds":
        return f"give more patients or at most folds={parts}"
    return f"give more patients or at least {name}={math.ceil(1000 / parts) / 1000:g}"


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
        names = list(sides)
        for position, first in enumerate(names):
            for second in names[position + 1 :]:
                shared = np.intersect1d(groups[sides[first]], groups[sides[second]])
                if len(shared):
                    raise LeakError(f"group {shared[0]} is both in {first} and in {second}")


def check_unseen(reported: Indices, seen: Indices, groups: NDArray[np.int64], what: str) -> None:
    """Refuse to report on patches whose patient any part being judged has seen.

    Args:
        reported: indices of the patches that a figure is about to be computed from.
        seen: indices of all that reached the judged parts by training, tuning, weighting, thresholding or calibrating.
        groups: (n,) group of each patch.
        what: the name of the figure, for the message.

    Raises:
        LeakError: naming the figure and how many patches are affected.
    """
    leaked = np.isin(groups[reported], groups[seen])
    if leaked.any():
        raise LeakError(f"{what}: {int(leaked.sum())} of {len(reported)} patches come from patients already seen")
