"""What a committee says of files, in memory that does not grow with their number."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.committee.graph import GraphSession, committee_graph
from microcalc.config import Engine
from microcalc.files import opened_atomically
from microcalc.predicting.files import Unreadable, read_batches

BATCH = 32

Asked = Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True)
class Prediction:
    """What a committee says of one patch.

    Attributes:
        file: where the patch is.
        probability: of a cluster, calibrated.
        decision: 1 where the probability reaches the committee's threshold.
        experts: the probability by each expert.
        distance: from the training data; None where the committee has no novelty.
        outlier: 1 where the distance is above the novelty's threshold, so that the probabilities mean nothing.
    """

    file: Path
    probability: float
    decision: int
    experts: tuple[float, ...]
    distance: float | None
    outlier: int | None


Outcome = Prediction | Unreadable


def predict_files(
    committee: Committee, files: Sequence[Path], engine: Engine = "torch", resize: bool = False
) -> Iterator[Outcome]:
    """Ask a committee about files, a batch at a time; one that cannot be read costs only itself.

    Args:
        committee: which is asked.
        files: images of 60 x 60 pixels.
        engine: "torch"; "torch-bfloat16", which rounds inside the networks, for twice the speed on a processor with
            AMX or AVX512-BF16; or "onnx" for onnxruntime.
        resize: resample images of another size.

    Raises:
        RequestError: the engine onnx is not installed, or cannot run this committee.
    """
    asked = _engine(committee, engine)
    for batch in read_batches(files, BATCH, resize):
        yield from batch.unreadable
        if batch.files:
            yield from _predictions(committee, asked, batch.files, batch.images)


def _engine(committee: Committee, engine: Engine) -> Asked:
    if engine == "onnx":
        return GraphSession(committee_graph(committee)).predict

    def ask(images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        device = committee.networks[0].variables[0].value.device.type
        with torch.autocast(device, torch.bfloat16, enabled=engine == "torch-bfloat16"):
            experts = committee.expert_probabilities(images)
        return committee.combine(experts), experts

    return ask


def _predictions(
    committee: Committee, asked: Asked, files: list[Path], images: NDArray[np.float32]
) -> Iterator[Prediction]:
    probabilities, experts = asked(images)
    distances = committee.outliers(images).tolist() if committee.novelty is not None else [None] * len(files)
    for file, probability, votes, distance in zip(files, probabilities.tolist(), experts, distances, strict=True):
        yield Prediction(
            file=file,
            probability=probability,
            decision=int(probability >= committee.threshold),
            experts=tuple(votes.tolist()),
            distance=distance,
            outlier=int(distance > committee.novelty.threshold) if committee.novelty is not None else None,
        )


def kept_as_csv(outcomes: Iterator[Outcome], path: Path, experts: int) -> Iterator[Outcome]:
    """Pass outcomes on, and write the predictions among them as CSV, which is in its place when all have passed.

    Its columns are ``file``, ``probability``, ``decision`` (0 or 1), ``expert_0`` and so on, and ``outlier`` (0 or 1,
    empty where the committee has no novelty).

    Raises:
        RequestError: the path is a folder.
        FailedError: it cannot be written.
    """
    with opened_atomically(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)
        writer = csv.writer(text)
        writer.writerow(["file", "probability", "decision", *(f"expert_{k}" for k in range(experts)), "outlier"])
        for outcome in outcomes:
            if isinstance(outcome, Prediction):
                numbers = [f"{value:.7g}" for value in (outcome.probability, *outcome.experts)]
                writer.writerow([outcome.file, numbers[0], outcome.decision, *numbers[1:], outcome.outlier])
            yield outcome
        text.detach()


def kept_as_json(outcomes: Iterator[Outcome], path: Path, committee: Committee) -> Iterator[Outcome]:
    """Pass outcomes on, and write them as JSON, which is in its place when all have passed.

    It holds the ``threshold`` of the decision, the ``novelty`` (``threshold`` and ``false_alarm_rate``, or null), the
    ``predictions`` (as in the CSV, and ``distance``), and the ``unreadable`` files, each with its ``problem``.

    Raises:
        RequestError: the path is a folder.
        FailedError: it cannot be written.
    """
    novelty = committee.novelty
    told = novelty and {"threshold": novelty.threshold, "false_alarm_rate": novelty.false_alarm_rate}
    head = {"schema": 1, "threshold": committee.threshold, "novelty": told}
    unreadable = []
    with opened_atomically(path) as file:
        file.write(json.dumps(head)[:-1].encode() + b', "predictions": [')
        separator = b"\n"
        for outcome in outcomes:
            if isinstance(outcome, Prediction):
                file.write(separator + json.dumps(_row(outcome)).encode())
                separator = b",\n"
            else:
                unreadable.append({"file": str(outcome.file), "problem": outcome.problem})
            yield outcome
        file.write(b'\n], "unreadable": ' + json.dumps(unreadable, indent=1).encode() + b"}\n")


def _row(prediction: Prediction) -> dict[str, Any]:
    return {
        "file": str(prediction.file),
        "probability": prediction.probability,
        "decision": prediction.decision,
        **{f"expert_{number}": vote for number, vote in enumerate(prediction.experts)},
        "outlier": prediction.outlier,
        "distance": prediction.distance,
    }
