"""The predictions of a committee for files of patches."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.committee.highest_view import highest_views
from microcalc.config import Engine
from microcalc.data.patch_files import PatchFile
from microcalc.images.image import PixelSize
from microcalc.images.tiles import check_patches
from microcalc.networks.hypermodel import computing_in


@dataclass(frozen=True)
class Prediction:
    """The prediction for one file: that of its patch, or of the highest of several.

    Attributes:
        probability: of a cluster, calibrated.
        decision: 1 where the probability reaches the committee's threshold for images of this pixel size.
        experts: the probability by each expert.
        pixel_size_mm: of the image, (row, column); or "unknown".
        assumed: whether that size was neither in the file nor given.
        warnings: sentences that a user should know about the image.
        view: number of the patch that this is of, among those of the file.
    """

    probability: float
    decision: int
    experts: tuple[float, ...]
    pixel_size_mm: PixelSize | Literal["unknown"]
    assumed: bool
    warnings: tuple[str, ...]
    view: int = 0

    @property
    def size(self) -> str:
        """The pixel size in words.

        >>> Prediction(0.9, 1, (0.9,), (0.085, 0.085), True, ()).size
        '0.085 (assumed)'
        """
        if self.pixel_size_mm == "unknown":
            return "unknown"
        row, column = self.pixel_size_mm
        return f"{row:g}{f' x {column:g}' if row != column else ''}{' (assumed)' if self.assumed else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, an entry of ``predictions`` in the JSON of ``microcalc predict`` without its file."""
        return {
            "probability": self.probability,
            "decision": self.decision,
            **{f"expert_{number}": probability for number, probability in enumerate(self.experts)},
            "pixel_size_mm": self.size,
            "warnings": list(self.warnings),
        }


def predict_patches(committee: Committee, read: Sequence[PatchFile], engine: Engine = "torch") -> list[Prediction]:
    """Predict files that were read as patches, all patches in one batch.

    Args:
        committee: predicts.
        read: of :func:`microcalc.data.patch_files.read_patch_file`.
        engine: "torch"; or "torch-bfloat16", which rounds inside the networks, for twice the speed on a processor with
            AMX or AVX512-BF16.

    Returns:
        One prediction a file.

    >>> patch = PatchFile(np.full((1, 60, 60), 0.5, np.float32), (0.085, 0.085))
    >>> [prediction.decision for prediction in predict_patches(Committee.pretrained(), [patch])]
    [0]
    """
    if not read:
        return []
    images = np.concatenate([each.views for each in read])
    with ExitStack() as stack:
        if engine == "torch-bfloat16":
            for network in committee.networks:
                stack.enter_context(computing_in(network, "bfloat16"))
        prepared, sizes = committee.filtered(check_patches(images)), np.array([len(each.views) for each in read])
        experts, highest = highest_views(committee.networks, committee.weights, prepared, sizes)
    return [
        _prediction(committee, each, own, int(view)) for each, own, view in zip(read, experts, highest, strict=True)
    ]


def _prediction(committee: Committee, read: PatchFile, experts: NDArray[np.float64], view: int) -> Prediction:
    unknown = read.pixel_size_mm == "unknown"
    probability, threshold = float(committee.combine(experts, unknown)), committee.rule(unknown).threshold
    return Prediction(
        probability=probability,
        decision=int(probability >= threshold),
        experts=tuple(experts.tolist()),
        pixel_size_mm=read.pixel_size_mm,
        assumed=read.assumed,
        warnings=read.warnings,
        view=view,
    )
