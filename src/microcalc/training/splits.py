"""Grouped, stratified splits, and the guard that no reported figure comes from a patient already seen."""

from collections.abc import Iterable
from dataclasses import dataclass

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


def split_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Part about ``fraction`` of the patches from the rest, by whole groups and with the classes in proportion.

    Returns:
        Indices of the rest and of the part, each sorted.

    Raises:
        RequestError: too few groups for both sides to hold both classes.

    >>> rest, part = split_groups(np.arange(40) % 2, np.arange(40) // 2, 0.25, seed=0)
    >>> len(rest), len(part), set(rest // 2) & set(part // 2)
    (30, 10, set())
    """
    rest, part = next(iter(grouped_folds(labels, groups, round(1 / fraction), seed)))
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

    >>> labels, groups = np.arange(200) % 2, np.arange(200) // 4
    >>> split = split_study(labels, groups, folds=5, validation_fraction=0.25, committee_fraction=0.15, seed=0)
    >>> len(split.committee), [len(fold.test) for fold in split.folds]
    (32, [36, 32, 32, 32, 36])
    """
    others, committee = split_groups(labels, groups, committee_fraction, seed)
    for label in (0, 1):
        if len(np.unique(groups[committee][labels[committee] == label])) < 2:
            raise RequestError(
                f"the committee needs two patients of each class, but label {label} leaves fewer to it; give more data"
            )
    parts = []
    for number, (development, test) in enumerate(grouped_folds(labels[others], groups[others], folds, seed)):
        development = others[development]
        training, holdout = split_groups(labels[development], groups[development], validation_fraction, seed + number)
        parts.append(Fold(training=development[training], holdout=development[holdout], test=others[test]))
    split = StudySplit(committee=committee, folds=tuple(parts))
    check_split(split, groups)
    return split


def grouped_folds(
    labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int
) -> Iterable[tuple[Indices, Indices]]:
    """Indices of the rest and of the part, for each of ``folds`` parts by whole groups, the classes in proportion.

    Raises:
        RequestError: too few groups for every side to hold both classes.
    """
    for label in (0, 1):
        holders = len(np.unique(groups[labels == label]))
        if holders < folds:
            raise RequestError(
                f"{folds} parts by patient need at least {folds} patients of each class, but label {label} "
                f"has {holders}; give more data or fewer --folds"
            )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for rest, part in splitter.split(np.zeros(len(labels)), labels, groups):
        if len(np.unique(labels[part])) < 2 or len(np.unique(labels[rest])) < 2:
            raise RequestError(
                f"{folds} parts by patient leave a part without both classes; give more data or fewer --folds"
            )
        yield rest, part


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
