"""What a committee predicts for files, and the tables that hold it."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.committee.onnx_export import OnnxSession, committee_onnx
from microcalc.config import Engine, GivenPixelSize
from microcalc.data.patch_files import Batch, PatchFile, Unreadable, read_batches
from microcalc.files import write_atomically
from microcalc.images.image import PixelSize
from microcalc.networks.hypermodel import computing_in

BATCH = 32

Predictor = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True)
class Prediction:
    """What a committee predicts for one file: that of its patch, or of the highest of several.

    Attributes:
        file: where the image is.
        probability: of a cluster, calibrated.
        decision: 1 where the probability reaches the committee's threshold for images of this pixel size.
        experts: the probability by each expert.
        pixel_size_mm: of the image, (row, column); or "unknown".
        assumed: whether that size was neither in the file nor given.
        warnings: what a user should know about the image.
    """

    file: Path
    probability: float
    decision: int
    experts: tuple[float, ...]
    pixel_size_mm: PixelSize | Literal["unknown"]
    assumed: bool
    warnings: tuple[str, ...]

    @property
    def size(self) -> str:
        """The pixel size in words.

        >>> Prediction(Path("a"), 0.9, 1, (0.9,), (0.085, 0.085), True, ()).size
        '0.085 (assumed)'
        """
        if self.pixel_size_mm == "unknown":
            return "unknown"
        row, column = self.pixel_size_mm
        return f"{row:g}{f' x {column:g}' if row != column else ''}{' (assumed)' if self.assumed else ''}"


def predict_files(
    committee: Committee,
    files: Sequence[Path],
    pixel_size_mm: GivenPixelSize = None,
    engine: Engine = "torch",
    progress: Callable[[int], None] = lambda done: None,
) -> list[Prediction | Unreadable]:
    """Predict files; one that cannot be read is listed with the reason, and the others are predicted.

    Args:
        committee: which predicts.
        files: images, as :func:`microcalc.data.patch_files.read_patch_file` reads them.
        pixel_size_mm: of images whose files do not give it.
        engine: "torch"; "torch-bfloat16", which rounds inside the networks, for twice the speed on a processor with
            AMX or AVX512-BF16; or "onnx" for onnxruntime.
        progress: called with the number of files done, after each batch.

    Returns:
        One entry a file, in their order but for unreadable ones, which come first in their batch.

    Raises:
        RequestError: the engine onnx is not installed, or cannot run this committee.
    """
    committee.rule(pixel_size_mm == "unknown")
    predictor = _predictor(committee, engine)
    outcomes: list[Prediction | Unreadable] = []
    for batch in read_batches(files, BATCH, pixel_size_mm):
        outcomes += batch.unreadable
        if batch.read:
            outcomes += predict_batch(committee, batch, predictor)[0]
        progress(len(outcomes))
    return outcomes


def _predictor(committee: Committee, engine: Engine) -> Predictor:
    if engine == "onnx":
        return OnnxSession(committee_onnx(committee)).expert_probabilities
    if engine == "torch":
        return committee.expert_probabilities

    def in_bfloat16(images: NDArray[np.float32]) -> NDArray[np.float64]:
        with ExitStack() as stack:
            for network in committee.networks:
                stack.enter_context(computing_in(network, "bfloat16"))
            return committee.expert_probabilities(images)

    return in_bfloat16


def predict_batch(
    committee: Committee, batch: Batch, predictor: Predictor | None = None
) -> tuple[list[Prediction], NDArray[np.float32]]:
    """Predict the files of a batch, and return with that the (n, 60, 60) patch that decides for each."""
    images = batch.views
    experts = (predictor or committee.expert_probabilities)(images)
    probabilities = committee.combine(experts)
    highest = _highest(batch, probabilities)
    each = zip(batch.read, highest, strict=True)
    return [_prediction(committee, read, experts[view]) for read, view in each], images[highest]


def _highest(batch: Batch, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of a batch's views has the highest probability of each file."""
    parts = batch.by_file(probabilities)
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return np.asarray([start + int(part.argmax()) for start, part in zip(starts, parts, strict=True)], np.int64)


def _prediction(committee: Committee, read: PatchFile, experts: NDArray[np.float64]) -> Prediction:
    unknown = read.pixel_size_mm == "unknown"
    probability, threshold = float(committee.combine(experts, unknown)), committee.rule(unknown).threshold
    return Prediction(
        file=read.file,
        probability=probability,
        decision=int(probability >= threshold),
        experts=tuple(experts.tolist()),
        pixel_size_mm=read.pixel_size_mm,
        assumed=read.assumed,
        warnings=read.warnings,
    )


def write_csv(predictions: Sequence[Prediction], path: Path, experts: int) -> None:
    """Write predictions as CSV.

    Its columns are ``file``, ``probability``, ``decision`` (0 or 1), ``expert_0`` and so on, and
    ``pixel_size_mm`` (such as ``0.07``, ``0.07 x 0.08`` of rows and columns, ``0.085 (assumed)`` or ``unknown``).

    Raises:
        RequestError: the path is a folder.
        FailedError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    votes = [f"expert_{number}" for number in range(experts)]
    writer.writerow(["file", "probability", "decision", *votes, "pixel_size_mm"])
    for each in predictions:
        numbers = [f"{value:.7g}" for value in (each.probability, *each.experts)]
        writer.writerow([each.file, numbers[0], each.decision, *numbers[1:], each.size])
    write_atomically(path, text.getvalue().encode(errors="backslashreplace"))


def write_json(
    predictions: Sequence[Prediction], unreadable: Sequence[Unreadable], path: Path, committee: Committee
) -> None:
    """Write predictions as JSON.

    It holds the ``threshold`` of the decision, that of images of unknown pixel size (or null), the ``predictions``
    (as in the CSV, and ``warnings``), and the ``unreadable`` files, each with its ``problem``.

    Raises:
        RequestError: the path is a folder.
        FailedError: it cannot be written.
    """
    content = {
        "schema": 1,
        "threshold": committee.threshold,
        "threshold_of_unknown_pixel_size": committee.unknown_scale and committee.unknown_scale.threshold,
        "predictions": [plain_row(each) for each in predictions],
        "unreadable": [{"file": str(each.file), "problem": str(each)} for each in unreadable],
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def plain_row(prediction: Prediction) -> dict[str, Any]:
    """Plain values, as the JSON of :func:`write_json` and the Parquet of an archive hold them."""
    return {
        "file": str(prediction.file),
        "probability": prediction.probability,
        "decision": prediction.decision,
        **{f"expert_{number}": vote for number, vote in enumerate(prediction.experts)},
        "pixel_size_mm": prediction.size,
        "warnings": list(prediction.warnings),
    }
