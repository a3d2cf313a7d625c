"""The settings of a study: one tree of frozen dataclasses, made at the edge and passed down."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from microcalc.errors import RequestError

WaveletName = Literal["none", "sym3", "haar"]
WaveletBackend = Literal["pywavelets", "matlab"]
Protocol = Literal["honest", "naive"]
InputScaling = Literal["unit", "centred", "detail", "normalized", "unit+detail", "unit+normalized"]
Looks = Literal["one", "eight", "quarters"]
Engine = Literal["torch", "torch-bfloat16", "onnx"]

LARGEST_SEED = 2**31 - 1
"""Every library that is given a seed, or one a little above it for a fold, takes one of this size."""
MOST_EPOCHS = 100_000


def check_number(name: str, value: float, smallest: float, largest: float = math.inf) -> None:
    """Refuse a setting that is no number or lies outside its range.

    Raises:
        RequestError: naming the setting, what it takes and what was given.

    >>> check_number("epochs", 0, 1)
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: epochs must be at least 1: got 0
    """
    if math.isfinite(value) and smallest <= value <= largest:
        return
    takes = f"at least {smallest}" if largest == math.inf else f"from {smallest} to {largest}"
    raise RequestError(f"{name} must be {takes}: got {value}")


def check_seed(seed: int) -> None:
    """Refuse a seed that some library would refuse later.

    Raises:
        RequestError: it is negative or above 2,147,483,647.

    >>> check_seed(-1)
    Traceback (most recent call last):
    ...
    microcalc.errors.RequestError: seed must be from 0 to 2147483647: got -1
    """
    check_number("seed", seed, 0, LARGEST_SEED)


@dataclass(frozen=True)
class AugmentationSettings:
    """How training patches are varied, on the fly; all ranges but that of scale are symmetric about no change.

    Attributes:
        rotation_degrees: largest rotation; 180, since a mammogram has no direction that tells of a cluster.
        shift_pixels: largest shift along each axis.
        flips: mirror each axis half of the time.
        largest_scale: the most by which half of the patches are enlarged.
        largest_reduction: the most by which the other half are reduced, and blurred to match; more than the former, for
            film of coarser resolution.
        blur_pixels: largest standard deviation of a Gaussian blur, which half of the patches get.
        gamma: 1 + this is the largest exponent on the grey levels, and its inverse the smallest.
        contrast: 1 + this is the largest factor on the contrast about the patch's mean, and its inverse the smallest.
        brightness: largest grey level added.
        noise: largest standard deviation of Gaussian noise added.
        other_backgrounds: share of the patches that are put on the background of another patch of their batch.
        strands: share of the patches into which bright strands are drawn; meant for raw patches, not filtered ones.
        texture: share of the patches to which the texture of normal tissue is added; the same goes for it.

    >>> AugmentationSettings().rotation_degrees
    180.0
    """

    rotation_degrees: float = 180.0
    shift_pixels: float = 3.0
    flips: bool = True
    largest_scale: float = 1.15
    largest_reduction: float = 1.4
    blur_pixels: float = 0.7
    gamma: float = 0.2
    contrast: float = 0.35
    brightness: float = 0.1
    noise: float = 0.015
    other_backgrounds: float = 0.35
    strands: float = 0.15
    texture: float = 0.3

    def __post_init__(self) -> None:
        for name in ("rotation_degrees", "shift_pixels", "blur_pixels", "gamma", "contrast", "brightness", "noise"):
            check_number(name, getattr(self, name), 0)
        for name in ("other_backgrounds", "strands", "texture"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise RequestError(f"--{name.replace('_', '-')} is a share, from 0 to 1: got {share}")
        for name in ("largest_scale", "largest_reduction"):
            if not 1 <= (scale := getattr(self, name)) <= 4:
                raise RequestError(f"--{name.replace('_', '-')} is a factor, from 1 to 4: got {scale}")


@dataclass(frozen=True)
class WaveletSettings:
    """The wavelet filter of :func:`microcalc.transforms.wavelet.wavelet_filter`; ``name="none"`` leaves it out."""

    name: WaveletName = "none"
    threshold: float = 1.5
    backend: WaveletBackend = "pywavelets"

    def __post_init__(self) -> None:
        if not 0 < self.threshold < math.inf:
            raise RequestError(f"--threshold must be above 0: got {self.threshold}")


@dataclass(frozen=True)
class SearchSettings:
    """The space of hyperparameters and how much of it is explored in each fold.

    >>> SearchSettings().trials
    7
    """

    dim: tuple[int, ...] = (15, 20, 25)
    depth: tuple[int, ...] = (1, 3, 5)
    dropout: tuple[float, ...] = (0.0, 0.05, 0.1)
    searching_fraction: float = 0.25
    patient: bool = False
    epochs: int = 8

    def __post_init__(self) -> None:
        for name, values, smallest in (("dim", self.dim, 1), ("depth", self.depth, 1), ("dropout", self.dropout, 0.0)):
            if not values or not all(math.isfinite(value) and value >= smallest for value in values):
                raise RequestError(f"--{name} takes values of at least {smallest}: got {list(values)}")
        if max(self.dropout) > 0.8:
            raise RequestError(f"--dropout takes rates up to 0.8: got {list(self.dropout)}")
        if not 0 < self.searching_fraction <= 1:
            raise RequestError(f"--searching-fraction must lie in (0, 1]: got {self.searching_fraction}")
        check_number("search.epochs", self.epochs, 1, MOST_EPOCHS)

    @property
    def trials(self) -> int:
        """Number of combinations explored in each fold, at least one."""
        space = len(set(self.dim)) * len(set(self.depth)) * len(set(self.dropout))
        return max(1, round(self.searching_fraction * space))


@dataclass(frozen=True)
class TrainingSettings:
    """The training of one network: one-cycle learning rate, AdamW, batches of patches."""

    epochs: int = 80
    batch_size: int = 60
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    input_scaling: InputScaling = "unit+normalized"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_number("training.epochs", self.epochs, 1, MOST_EPOCHS)
        check_number("batch_size", self.batch_size, 1)
        check_number("weight_decay", self.weight_decay, 0)
        if not 0 < self.learning_rate < math.inf:
            raise RequestError(f"learning_rate must be above 0: got {self.learning_rate}")


@dataclass(frozen=True)
class StudyConfig:
    """Everything a study depends on besides the data.

    >>> StudyConfig().folds
    5
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: AugmentationSettings | None = field(default_factory=AugmentationSettings)
    wavelet: WaveletSettings = field(default_factory=WaveletSettings)
    protocol: Protocol = "honest"
    folds: int = 5
    validation_fraction: float = 0.25
    committee_fraction: float = 0.15
    looks: Looks = "quarters"
    sensitivity: float | None = None
    fast_execution: bool = False
    gradcam: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise RequestError(f"--folds must be at least 2: got {self.folds}")
        if self.sensitivity is not None and not 0 < self.sensitivity <= 1:
            raise RequestError(f"--sensitivity must lie in (0, 1]: got {self.sensitivity}")
        if not 0 <= self.gradcam <= 25:
            raise RequestError(f"--gradcam takes 0 to 25 patches: got {self.gradcam}")
        for name in ("validation_fraction", "committee_fraction"):
            if not 0 < (share := getattr(self, name)) <= 0.5:
                raise RequestError(f"{name} must lie in (0, 0.5]: got {share}")
        check_seed(self.seed)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for ``config.json``."""
        return asdict(self)
