"""The committee: the weighted average of the experts, calibrated, with the threshold that turns it into a decision."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from microcalc import __version__
from microcalc.committee.adaptation import observe
from microcalc.committee.calibration import Calibration
from microcalc.committee.inference import predict
from microcalc.committee.outliers import OutlierDetector
from microcalc.committee.unknown_scale import UnknownScale
from microcalc.committee.weights import load_weights, save_weights
from microcalc.config import Preprocessing, WaveletSettings
from microcalc.errors import RequestError
from microcalc.files import read_json, write_json
from microcalc.images.patches import check_patches
from microcalc.networks.hypermodel import build_network
from microcalc.transforms.wavelet import wavelet_filter

FORMAT = 2
FEWEST_TO_ADAPT = 50
LARGEST = {"dim": 256, "depth": 16, "dropout": 0.8}


def filtered(images: NDArray[np.float32], wavelet: WaveletSettings) -> NDArray[np.float32]:
    """Filter (n, 60, 60) raw patches in the wavelet domain; without a filter they stay as they are."""
    if wavelet.name == "none":
        return images
    return wavelet_filter(images, wavelet.name, wavelet.threshold, wavelet.backend)


class WeightedAverage(torch.nn.Module):
    """Weights in (0, 1) that sum to 1, as the softmax of free parameters that start equal.

    >>> average = WeightedAverage(5)
    >>> average(torch.full((3, 5), 0.25))
    tensor([0.2500, 0.2500, 0.2500], grad_fn=<MvBackward0>)
    """

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.scores = torch.nn.Parameter(torch.zeros(experts))

    @property
    def weights(self) -> torch.Tensor:
        """(experts,) weights."""
        return torch.softmax(self.scores, dim=0)

    def forward(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(n, experts) probabilities to (n,) weighted averages."""
        return probabilities @ self.weights


@dataclass(frozen=True)
class ExpertShape:
    """What one expert was built with."""

    dim: int
    depth: int
    dropout: float
    preprocessing: str


@dataclass(frozen=True, eq=False)
class Committee:
    """Experts, their weights, the calibration and the threshold: all that a prediction needs.

    Attributes:
        networks: one Keras network an expert.
        shapes: what each was built with.
        weights: (experts,) in (0, 1), summing to 1.
        calibration: from the raw average to a probability.
        threshold: a probability at or above it is the decision 1.
        wavelet: the filter that patches pass before the experts see them.
        outlier_detector: finds patches that are not breast tissue at 85 um a pixel; None where it was saved without.
        unknown_scale: calibration and threshold for patches of unknown pixel size; None where the study had no such
            external set.
        name: as results state it: the version of the one that comes with microcalc, or the folder it was read from.
    """

    networks: tuple[Any, ...]
    shapes: tuple[ExpertShape, ...]
    weights: NDArray[np.float64]
    calibration: Calibration
    threshold: float
    wavelet: WaveletSettings
    outlier_detector: OutlierDetector | None = None
    unknown_scale: UnknownScale | None = None
    name: str = "unnamed"

    @property
    def highest_weight(self) -> int:
        """The expert of highest weight, the first of equals."""
        return int(np.argmax(self.weights))

    def expert(self, number: int) -> Self:
        """Return one expert alone, as a committee whose probability is the expert's own."""
        return replace(
            self,
            networks=(self.networks[number],),
            shapes=(self.shapes[number],),
            weights=np.ones(1),
            calibration=Calibration(slope=1.0, intercept=0.0),
        )

    def filtered(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter (n, 60, 60) raw patches as the experts take them."""
        return filtered(images, self.wavelet)

    def expert_probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 60, 60) raw patches in [0, 1] to (n, experts): each expert's own probability of a cluster.

        Raises:
            DataError: ``images`` are no such patches; see :func:`microcalc.images.patches.check_patches`.
        """
        prepared = self.filtered(check_patches(images))
        return np.stack([predict(network, prepared) for network in self.networks], axis=1)

    def combine(self, expert_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, experts) probabilities of the experts to (n,) calibrated probabilities of the committee."""
        return self.calibration.apply(expert_probabilities @ self.weights)

    def predict_proba(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 60, 60) raw patches in [0, 1] to (n,) calibrated probabilities of a cluster.

        Raises:
            DataError: ``images`` are no such patches; see :func:`microcalc.images.patches.check_patches`.

        >>> Committee.pretrained().predict_proba(np.zeros((2, 60, 60), np.float32)).shape
        (2,)
        """
        return self.combine(self.expert_probabilities(images))

    def adapted(self, batches: Iterable[NDArray[np.float32]]) -> Self:
        """Fit a copy to a site by patches of it, without labels; see :func:`microcalc.committee.adaptation.observe`.

        It may rank patches of other film better. Its probabilities and its threshold are no longer calibrated. The
        patches should be a fair sample of what the site sees: what is common among them becomes what is normal.

        Args:
            batches: raw patches (n, 60, 60) in [0, 1] of any n, at least 50 in all.

        Raises:
            RequestError: fewer patches.
        """
        networks = tuple(build_network(**vars(shape)) for shape in self.shapes)
        for network, own in zip(networks, self.networks, strict=True):
            network.set_weights(own.get_weights())
        seen = 0
        for images in batches:
            seen += len(images)
            prepared = self.filtered(images)
            for network in networks:
                observe(network, prepared, share=len(images) / seen)
        if seen < FEWEST_TO_ADAPT:
            raise RequestError(
                f"a committee needs at least {FEWEST_TO_ADAPT} patches to adapt to: got {seen}; give more or leave it"
            )
        return replace(self, networks=networks)

    def outliers(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 60, 60) raw patches in [0, 1] to (n,) distances from breast tissue; see :class:`OutlierDetector`.

        Above ``outlier_detector.threshold`` a patch is not tissue at 85 um a pixel, and its probabilities mean nothing.

        Raises:
            DataError: ``images`` are no such patches.
            RequestError: the committee was saved without an outlier detector.
        """
        if self.outlier_detector is None:
            raise RequestError("this committee was saved without an outlier detector; train it again to find outliers")
        return self.outlier_detector.distances(check_patches(images))

    def save(self, directory: str | Path, dtype: type[np.floating] = np.float32) -> None:
        """Write the committee: one file of weights an expert, in ``dtype``, and ``committee.json`` last.

        Raises:
            FailedError: the directory cannot be written.
        """
        directory = Path(directory)
        for number, network in enumerate(self.networks):
            save_weights(network, directory / f"expert_{number}.safetensors", dtype)
        description = {
            "format": FORMAT,
            "experts": [vars(shape) for shape in self.shapes],
            "weights": self.weights.tolist(),
            "calibration": vars(self.calibration),
            "threshold": self.threshold,
            "wavelet": {"name": self.wavelet.name, "threshold": self.wavelet.threshold},
        }
        if self.outlier_detector is not None:
            description["outlier_detector"] = self.outlier_detector.plain()
        if self.unknown_scale is not None:
            calibration, threshold = vars(self.unknown_scale.calibration), self.unknown_scale.threshold
            description["unknown_scale"] = {"calibration": calibration, "threshold": threshold}
        write_json(directory / "committee.json", description)

    @classmethod
    def pretrained(cls, purpose: Literal["patches", "scan"] = "patches") -> Self:
        """A committee that comes with the package; the card is ``microcalc/pretrained/CARD.md``.

        Args:
            purpose: "patches", or "scan" for the committee that scans whole mammograms. The latter has learned that one
                or two isolated calcifications are no cluster, as INFN's labels do not say.

        Raises:
            RequestError: this copy of the package has none, or there is none for this purpose.
        """
        if purpose not in ("patches", "scan"):
            raise RequestError(f"purpose is one of patches, scan: got {purpose!r}")
        directory = Path(str(resources.files("microcalc"))) / "pretrained"
        if purpose == "scan":
            directory /= "scan"
        if not (directory / "committee.json").is_file():
            raise RequestError(
                "this copy of microcalc has no committee of its own; name the committee/ of a finished run"
            )
        return replace(cls.load(directory), name=f"pretrained {__version__}")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what :meth:`save` wrote; nothing in the files can run.

        Args:
            directory: of a committee, or of the run that holds it in ``committee/``.

        Raises:
            RequestError: a file is missing, damaged, or describes something that is no committee.
        """
        path = description_file(Path(directory))
        saved = read_json(path, "give the directory of a finished run or its committee/")
        if isinstance(saved, dict) and saved.get("format") == 1:
            raise RequestError(f"{path}: was saved by an earlier version of microcalc; run its study again")
        try:
            shapes = tuple(_read_shape(expert) for expert in saved["experts"])
            weights = np.array([_number(weight) for weight in saved["weights"]])
            calibration = _read_calibration(saved["calibration"])
            threshold = _number(saved["threshold"])
            wavelet = WaveletSettings(name=saved["wavelet"]["name"], threshold=_number(saved["wavelet"]["threshold"]))
            detector = OutlierDetector.read(saved["outlier_detector"]) if "outlier_detector" in saved else None
            unknown_scale = _read_unknown_scale(saved["unknown_scale"]) if "unknown_scale" in saved else None
            sound = (
                saved["format"] == FORMAT
                and 1 <= len(shapes) == len(weights) <= 100
                and (weights >= 0).all()
                and abs(weights.sum() - 1) < 1e-6
                and wavelet.name in ("none", "sym3", "haar")
                and saved.get("tta", "none") == "none"  # an earlier version could average over 8 views
            )
        except (KeyError, TypeError, ValueError, OverflowError, RequestError) as error:
            raise RequestError(
                f"{path}: is not a committee ({error!r}); give the committee/ of a finished run"
            ) from error
        if not sound:
            raise RequestError(f"{path}: is not a committee this version reads; give the committee/ of a finished run")
        networks = []
        for number, shape in enumerate(shapes):
            network = build_network(**vars(shape))
            load_weights(network, path.parent / f"expert_{number}.safetensors")
            networks.append(network)
        name = str(directory)
        return cls(tuple(networks), shapes, weights, calibration, threshold, wavelet, detector, unknown_scale, name)


def description_file(directory: Path) -> Path:
    """The ``committee.json`` of a committee, of a run, or given itself."""
    if directory.name == "committee.json" and directory.is_file():
        return directory
    own, of_run = directory / "committee.json", directory / "committee" / "committee.json"
    return of_run if of_run.is_file() and not own.exists() else own


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _read_calibration(saved: dict[str, Any]) -> Calibration:
    return Calibration(slope=_number(saved["slope"]), intercept=_number(saved["intercept"]))


def _read_unknown_scale(saved: dict[str, Any]) -> UnknownScale:
    return UnknownScale(_read_calibration(saved["calibration"]), _number(saved["threshold"]))


def _one_of(value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise ValueError(f"{value!r} is not one of {', '.join(get_args(choices))}")
    return value


def _read_shape(saved: dict[str, Any]) -> ExpertShape:
    shape = ExpertShape(
        dim=int(_number(saved["dim"])),
        depth=int(_number(saved["depth"])),
        dropout=_number(saved["dropout"]),
        preprocessing=_one_of(saved["preprocessing"], Preprocessing),
    )
    for name, largest in LARGEST.items():
        if not 0 <= getattr(shape, name) <= largest:
            raise ValueError(f"{name} of {getattr(shape, name)}")
    if shape.dim < 1:
        raise ValueError(f"an expert of {shape.dim} filters")
    return shape
