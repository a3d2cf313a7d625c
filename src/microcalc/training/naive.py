"""The earlier way to study this data, kept so that its optimism can be shown; nothing it reports is to be believed."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, train_test_split

from microcalc.config import AugmentationSettings
from microcalc.data import Data
from microcalc.training.splits import Fold, StudySplit

COPIES = 1


def augment_before_split(data: Data, settings: AugmentationSettings, seed: int) -> Data:
    """Add augmented copies as if they were new patches, so that a patch and its copy may stand on two sides.

    Backgrounds and tissue stay: the earlier way turned, moved and re-exposed each patch by itself.

    Returns:
        The patches and ``COPIES`` variants of each, every one a group of its own.

    >>> data = Data.load("phantom")
    >>> len(augment_before_split(data, AugmentationSettings(), seed=0)) // len(data)
    2
    """
    settings = dataclasses.replace(
        settings,
        p_background_swap=0.0,
        p_linear_structures=0.0,
        p_power_law_noise=0.0,
        p_dust=0.0,
        p_single_calcifications=0.0,
    )
    augmented = data.augment(COPIES, seed, settings)
    return dataclasses.replace(augmented, groups=np.arange(len(augmented)))


def split_naively(labels: NDArray[np.int64], *, folds: int, validation_fraction: float, seed: int) -> StudySplit:
    """Plain stratified folds, blind to patients, and a committee weighed on all patches, trained ones included.

    >>> split_naively(np.arange(40) % 2, folds=5, validation_fraction=0.25, seed=0).grouped
    False
    """
    everything = np.arange(len(labels))
    parts = []
    for development, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(everything, labels):
        training, holdout = train_test_split(
            development, test_size=validation_fraction, stratify=labels[development], random_state=seed
        )
        parts.append(Fold(training=np.sort(training), holdout=np.sort(holdout), test=test))
    return StudySplit(committee=everything, folds=tuple(parts), grouped=False)
