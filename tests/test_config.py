"""The settings of a study: every number that no study can use is refused when it is given, before any work."""

import math
from typing import Any

import pytest

from microcalc import Data
from microcalc.config import (
    LARGEST_SEED,
    AugmentationSettings,
    SearchSettings,
    StudyConfig,
    TrainingSettings,
    WaveletSettings,
)
from microcalc.errors import RequestError

WRONG = [
    (StudyConfig, "seed", -1),
    (StudyConfig, "seed", 10**20),
    (StudyConfig, "seed", LARGEST_SEED + 1),
    (StudyConfig, "folds", 1),
    (StudyConfig, "gradcam", -1),
    (StudyConfig, "sensitivity", math.nan),
    (StudyConfig, "validation_fraction", 0.0),
    (StudyConfig, "committee_fraction", 0.9),
    (SearchSettings, "epochs", 0),
    (SearchSettings, "searching_fraction", math.nan),
    (SearchSettings, "dropout", (0.1, math.nan)),
    (TrainingSettings, "epochs", 0),
    (TrainingSettings, "epochs", -3),
    (TrainingSettings, "epochs", 10**20),
    (TrainingSettings, "batch_size", 0),
    (TrainingSettings, "learning_rate", math.inf),
    (TrainingSettings, "learning_rate", 0.0),
    (TrainingSettings, "weight_decay", -0.1),
    (WaveletSettings, "threshold", math.inf),
    (AugmentationSettings, "noise", -0.1),
    (AugmentationSettings, "rotation_degrees", math.nan),
]


@pytest.mark.parametrize(("settings", "name", "value"), WRONG)
def test_a_number_that_no_study_can_use_is_refused_by_name(settings: Any, name: str, value: Any) -> None:
    with pytest.raises(RequestError, match=name.replace("_", "[-_]")):
        settings(**{name: value})


def test_the_ends_of_each_range_are_taken() -> None:
    StudyConfig(seed=0, folds=2, gradcam=0, validation_fraction=0.5)
    StudyConfig(seed=LARGEST_SEED, search=SearchSettings(epochs=1), training=TrainingSettings(epochs=1, weight_decay=0))


@pytest.mark.parametrize("seed", [-1, 10**20])
def test_a_seed_out_of_range_is_refused_where_patches_are_drawn(seed: int, phantom: Data) -> None:
    with pytest.raises(RequestError, match="seed must be at"):
        phantom.get_random_images(2, seed=seed)
