"""Every split of a study, planned and checked before anything is trained."""

import numpy as np

from microcalc.config import StudyConfig
from microcalc.data import Data
from microcalc.data.provenance import linked_groups
from microcalc.errors import DataError, RequestError
from microcalc.training.committee_fit import STOPPING_SHARE
from microcalc.training.splits import StudySplit, TooFewPatientsError, grouped_folds, split_groups, split_study


def plan_study(data: Data, config: StudyConfig) -> StudySplit:
    """Every split that a study makes, the one inside the committee's patients included, so that none fails later.

    Raises:
        TooFewPatientsError: naming the setting that needs more of them, and how many would do.
    """
    split = split_study(
        data.labels,
        data.groups,
        folds=config.folds,
        validation_fraction=config.validation_fraction,
        committee_fraction=config.committee_fraction,
        seed=config.seed,
    )
    try:
        split_groups(data.labels[split.committee], data.groups[split.committee], STOPPING_SHARE, config.seed)
    except TooFewPatientsError as error:
        raise TooFewPatientsError(
            f"the patients that committee_fraction={config.committee_fraction:g} leaves to the committee cannot be "
            "halved with both classes in each half; give more patients, a larger committee_fraction or another seed"
        ) from error
    return split


def check_nested(data: Data, config: StudyConfig) -> None:
    """Refuse a nested study that has too few patients, before anything is trained.

    Raises:
        TooFewPatientsError: naming the setting that needs more of them, and how many would do.
    """
    for number, (rest, _) in enumerate(grouped_folds(data.labels, data.groups, config.folds, config.seed)):
        try:
            plan_study(data.select(rest), config)
        except TooFewPatientsError as error:
            raise TooFewPatientsError(f"nested study, outer fold {number}: {error}") from error


def set_test_aside(data: Data, request: str, seed: int) -> tuple[Data, Data | None]:
    """Part a test set from the data before any study.

    Args:
        data: all patches.
        request: "none"; "official" for the INFN archive's own Test folder, whose patients leave the rest; or the
            fraction of the patients to draw at random, up to 0.5.
        seed: of the random share.

    Returns:
        The rest, and the test set or None.

    Raises:
        RequestError: the request is none of these, or the data have no official test or hold augmented copies.

    >>> rest, test = set_test_aside(Data.load("phantom"), "0.2", seed=0)
    >>> len(rest), len(test), set(rest.groups) & set(test.groups)
    (384, 96, set())
    """
    if request == "none":
        return data, None
    if data.augmented:
        raise DataError(f"a test set must hold no augmented copies: got {data.name} with copies; set it aside before")
    if request == "official":
        if data.official_test is None:
            raise RequestError(f"test=official is for the INFN archive: {data.name} has no Test folder of its own")
        test = data.select(data.official_test)
        return data.select(~np.isin(data.groups, test.groups)), test
    try:
        fraction = float(request)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 0.5:
        raise RequestError(f"test must be none, official, or a fraction up to 0.5: got {request}")
    rest, chosen = split_groups(data.labels, data.groups, fraction, seed, "test")
    return data.select(rest), data.select(chosen)


def check_no_shared_patients(data: Data, other: Data, one_archive: bool) -> None:
    """Refuse a test set with patients of the data.

    Patients are the same where patches share a block of pixels; in one archive also where their names are equal.

    Raises:
        DataError: naming a patch that they share.
    """
    names = list(other.patients) if one_archive else [f"external/{patient}" for patient in other.patients]
    groups = linked_groups(np.concatenate([data.images, other.images]), [*data.patients, *names])
    shared = np.flatnonzero(np.isin(groups[len(data) :], groups[: len(data)]))
    if len(shared):
        raise DataError(
            f"{other.files[shared[0]]}: this patch and {len(shared) - 1} more of {other.name} are of patients of "
            f"{data.name}, by name or by pixels; a set to test on must hold none of the patients to train on"
        )
