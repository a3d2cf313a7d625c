"""The patches that a study classifies wrongly, each with the map of an expert that never saw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microcalc.committee.committee import Committee
from microcalc.config import GradcamMethod
from microcalc.evaluation.predictions_csv import PredictedPatch
from microcalc.evaluation.study_figures import Predicted
from microcalc.explain.drawing import patch_and_map
from microcalc.explain.maps import explain
from microcalc.files import write_atomically

SHOWN = 24
"""Most patches of a set; those farthest from their label."""


@dataclass(frozen=True)
class WrongPatch:
    """One patch on the wrong side of the threshold that judges its set.

    Attributes:
        number: of its row in ``predictions.csv``, from 0.
        patch: that row.
        expert: that the map explains: the one tested on the patch, or of the highest weight for the other sets.
        probability: of a cluster.
    """

    number: int
    patch: PredictedPatch
    expert: int
    probability: float


def wrong_patches(rows: Sequence[PredictedPatch], metrics: dict[str, Any]) -> list[WrongPatch]:
    """Return the wrongly classified patches, set by set, those farthest from their label first.

    Args:
        rows: of ``predictions.csv``.
        metrics: of ``metrics.json``; its thresholds judge the test set and the external set, and 0.5 an expert.
    """
    thresholds = {"development": 0.5} | {
        name: metrics[name]["threshold"] for name in ("test", "external") if metrics.get(name)
    }
    best = metrics.get("committee", {}).get("most_reliable", 0)
    wrong = [
        WrongPatch(number, row, best if row.fold is None else row.fold, row.probability)
        for number, row in enumerate(rows)
        if row.probability is not None
        and row.role in thresholds
        and (row.probability >= thresholds[row.role]) != (row.label == 1)
    ]
    wrong.sort(key=lambda each: -abs(each.probability - each.patch.label))
    return [each for role in thresholds for each in [each for each in wrong if each.patch.role == role][:SHOWN]]


def draw_gallery(
    folder: Path,
    wrong: Sequence[WrongPatch],
    predicted: Mapping[str, Predicted],
    committee: Committee,
    method: GradcamMethod,
) -> None:
    """Write ``NUMBER.png`` for each patch: the patch, and beside it with its map.

    Args:
        folder: of the pictures.
        wrong: of :func:`wrong_patches`.
        predicted: the sets, in the order of ``predictions.csv``.
        committee: of the study.
        method: of the maps.
    """
    images = [image for part in predicted.values() for image in part.data.images]
    for expert in sorted({each.expert for each in wrong}):
        shown = [each for each in wrong if each.expert == expert]
        patches = np.stack([images[each.number] for each in shown])
        for each, patch, heat in zip(
            shown, patches, explain(committee.expert(expert), patches, method=method), strict=True
        ):
            write_atomically(folder / f"{each.number}.png", patch_and_map(patch, heat))
