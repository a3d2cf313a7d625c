"""The committee: the weighted average of the experts, calibrated, with the threshold that turns it into a decision."""

from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from microcalc.committee.calibration import Calibration, DecisionRule
from microcalc.committee.inference import predict
from microcalc.committee.weights import load_weights, save_weights
from microcalc.config import PRETRAINED, Preprocessing, WaveletSettings
from microcalc.errors import RequestError
from microcalc.files import read_record, write_json
from microcalc.images.tiles import check_patches
from microcalc.networks.hypermodel import build_network
from microcalc.transforms.wavelet import wavelet_filter

ADVICE = "give a finished run or its committee/, of this version"


def filtered(images: NDArray[np.float32], wavelet: WaveletSettings) -> NDArray[np.float32]:
    """Filter (n, 60, 60) raw patches in the wavelet domain; without a filter they stay as they are."""
    if wavelet.name == "none":
        return images
    return wavelet_filter(images, wavelet.name, wavelet.threshold, wavelet.backend)


@dataclass(frozen=True)
class ExpertShape:
    """The settings that one expert was built with."""

    dim: Annotated[int, Field(ge=1, le=256)]
    depth: Annotated[int, Field(ge=0, le=16)]
    dropout: Annotated[float, Field(ge=0, le=0.8)]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Description:
    """The content of ``committee.json``: all of a committee but the experts' weights."""

    format: Literal[2]
    experts: tuple[ExpertShape, ...]
    weights: tuple[Annotated[float, Field(ge=0)], ...]
    calibration: Calibration
    threshold: float
    wavelet: WaveletSettings
    tta: Literal["none"] = "none"  # an earlier version could average over 8 views
    unknown_scale: DecisionRule | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.experts) == len(self.weights) <= 100 or abs(sum(self.weights) - 1) > 1e-6:
            raise RequestError("a committee has 1 to 100 experts, each with a weight, that sum to 1")


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
        unknown_scale: what judges patches of unknown pixel size; None where the study had no such external set.
        name: as results state it: the version of the one that comes with microcalc, or the folder it was read from.
    """

    networks: tuple[Any, ...]
    shapes: tuple[ExpertShape, ...]
    weights: NDArray[np.float64]
    calibration: Calibration
    threshold: float
    wavelet: WaveletSettings
    unknown_scale: DecisionRule | None = None
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
            DataError: ``images`` are no such patches; see :func:`microcalc.images.tiles.check_patches`.
        """
        prepared = self.filtered(check_patches(images))
        return np.stack([predict(network, prepared) for network in self.networks], axis=1)

    def rule(self, unknown_scale: bool = False) -> DecisionRule:
        """Return the calibration and the threshold that judge patches.

        Args:
            unknown_scale: judge patches of unknown pixel size, by the highest of their views. It lies above the answer
                for one patch, so both were fitted on the committee's own patients, magnified in the same way.

        Raises:
            RequestError: the study of this committee had no external set of unknown pixel size.
        """
        if not unknown_scale:
            return DecisionRule(self.calibration, self.threshold)
        if self.unknown_scale is None:
            raise RequestError(
                "this committee has no threshold for images of unknown pixel size; give the pixel size in mm, or a "
                "committee whose study had an external set of unknown pixel size"
            )
        return self.unknown_scale

    def combine(self, votes: NDArray[np.float64], unknown_scale: bool = False) -> NDArray[np.float64]:
        """(n, experts) probabilities of the experts to (n,) calibrated probabilities of the committee."""
        return self.rule(unknown_scale).calibration.apply(votes @ self.weights)

    def predict_proba(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 60, 60) raw patches in [0, 1] to (n,) calibrated probabilities of a cluster.

        Raises:
            DataError: ``images`` are no such patches; see :func:`microcalc.images.tiles.check_patches`.

        >>> Committee.pretrained().predict_proba(np.zeros((2, 60, 60), np.float32)).shape
        (2,)
        """
        return self.combine(self.expert_probabilities(images))

    def save(self, directory: str | Path, dtype: type[np.floating] = np.float32) -> None:
        """Write the committee: one file of weights an expert, in ``dtype``, and ``committee.json`` last.

        Raises:
            FailedError: the directory cannot be written.
        """
        directory = Path(directory)
        for number, network in enumerate(self.networks):
            save_weights(network, directory / f"expert_{number}.safetensors", dtype)
        description = {
            "format": 2,
            "experts": [asdict(shape) for shape in self.shapes],
            "weights": self.weights.tolist(),
            "calibration": asdict(self.calibration),
            "threshold": self.threshold,
            "wavelet": {"name": self.wavelet.name, "threshold": self.wavelet.threshold},
            "unknown_scale": self.unknown_scale and asdict(self.unknown_scale),
        }
        write_json(directory / "committee.json", description)

    @classmethod
    def pretrained(cls) -> Self:
        """The committee that comes with the package; the card is ``microcalc/pretrained/CARD.md``.

        Raises:
            RequestError: this copy of the package has none.
        """
        directory = Path(str(resources.files("microcalc"))) / "pretrained"
        if not (directory / "committee.json").is_file():
            raise RequestError(
                "this copy of microcalc has no committee of its own; name the committee/ of a finished run"
            )
        return replace(cls.load(directory), name=PRETRAINED)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what :meth:`save` wrote; nothing in the files can run.

        Args:
            directory: of a committee, or of the run that holds it in ``committee/``.

        Raises:
            RequestError: a file is missing, damaged, or describes something that is no committee.
        """
        path = description_file(Path(directory))
        if not path.exists():
            raise RequestError(f"{directory}: holds no committee; {ADVICE}")
        saved = read_record(path, Description, ADVICE)
        networks = []
        for number, shape in enumerate(saved.experts):
            network = build_network(**asdict(shape))
            load_weights(network, path.parent / f"expert_{number}.safetensors")
            networks.append(network)
        return cls(
            networks=tuple(networks),
            shapes=saved.experts,
            weights=np.array(saved.weights),
            calibration=saved.calibration,
            threshold=saved.threshold,
            wavelet=saved.wavelet,
            unknown_scale=saved.unknown_scale,
            name=str(directory),
        )


def description_file(directory: Path) -> Path:
    """The ``committee.json`` of a committee, of a run, or given itself."""
    if directory.name == "committee.json" and directory.is_file():
        return directory
    own, of_run = directory / "committee.json", directory / "committee" / "committee.json"
    return of_run if of_run.is_file() and not own.exists() else own
