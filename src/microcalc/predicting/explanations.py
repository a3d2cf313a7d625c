"""What in a file speaks for a cluster, as pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.explain.committee import Explained
from microcalc.explain.overlay import contact_sheet, overlay
from microcalc.predicting.files import Unreadable, read_batches
from microcalc.report.figures import save_figure

SHEET = "contact_sheet"
PATCHES_A_SHEET = 24


@dataclass(frozen=True)
class Explanation:
    """The picture of one patch, and the probability of a cluster by what was explained."""

    file: Path
    picture: Path
    probability: float


def explain_files(
    committee: Committee,
    files: Sequence[Path],
    out: Path,
    of: Explained = "most_reliable",
    resize: bool = False,
) -> Iterator[Explanation | Unreadable]:
    """Draw the Grad-CAM map of each file beside the patch and over it, and contact sheets of 24 patches each.

    Args:
        committee: whose experts are explained.
        files: images of 60 x 60 pixels.
        out: the folder for ``NAME.png`` of each file and ``contact_sheet.png``, numbered where a name is taken.
        of: the expert of largest weight, or all of them; see :func:`microcalc.explain.committee.explain_committee`.
        resize: resample images of another size.

    Raises:
        FailedError: the pictures cannot be written.
    """
    taken: set[str] = set()
    for batch in read_batches(files, PATCHES_A_SHEET, resize):
        yield from batch.unreadable
        if not batch.files:
            continue
        maps, probabilities = committee.explain(batch.images, of), _probabilities(committee, batch.images, of)
        for file, image, heat, probability in zip(batch.files, batch.images, maps, probabilities, strict=True):
            picture = out / f"{_free_name(file.stem, taken)}.png"
            save_figure(overlay(image, heat, float(probability), name=file.name), picture)
            yield Explanation(file, picture, float(probability))
        sheet = contact_sheet(batch.images, maps, probabilities, names=[file.name for file in batch.files])
        save_figure(sheet, out / f"{_free_name(SHEET, taken)}.png")


def _probabilities(committee: Committee, images: NDArray[np.float32], of: Explained) -> NDArray[np.float64]:
    experts = committee.expert_probabilities(images)
    return committee.combine(experts) if of == "committee" else experts[:, committee.most_reliable]


def _free_name(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken already, also where capitals are not told from small letters."""
    numbered = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
    taken.add(free.casefold())
    return free
