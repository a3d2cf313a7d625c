"""What in a file speaks for a cluster, as pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.data.patch_files import Batch, GivenPixelSize, Unreadable, read_batches
from microcalc.explain.committee import Explained, explain_committee
from microcalc.explain.overlay import contact_sheet, overlay, save_figure

SHEET = "contact_sheet"
PATCHES_A_SHEET = 24


@dataclass(frozen=True)
class Explanation:
    """The picture of one file, and the probability of a cluster by what was explained.

    Attributes:
        file: where the image is.
        picture: where its explanation is.
        probability: of the patch that is explained: the highest of the file.
        assumed: whether the pixel size was neither in the file nor given.
        warnings: what a user should know about the image.
    """

    file: Path
    picture: Path
    probability: float
    assumed: bool = False
    warnings: tuple[str, ...] = ()


def explain_files(
    committee: Committee,
    files: Sequence[Path],
    out: Path,
    of: Explained = "most_reliable",
    pixel_size_mm: GivenPixelSize = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Explanation | Unreadable]:
    """Draw the Grad-CAM map of each file beside the patch and over it, and contact sheets of about 24 patches each.

    Args:
        committee: whose experts are explained.
        files: images, as :func:`microcalc.data.patch_files.read_patch_file` reads them; of several patches, the
            highest is explained.
        out: the folder for ``NAME.png`` of each file and ``contact_sheet.png``, numbered where a name is taken.
        of: the expert of largest weight, or all of them; see :func:`microcalc.explain.committee.explain_committee`.
        pixel_size_mm: of images whose files do not give it.
        progress: called with the number of files done, after each sheet.

    Raises:
        FailedError: the pictures cannot be written.
    """
    taken: set[str] = set()
    outcomes: list[Explanation | Unreadable] = []
    for batch in read_batches(files, PATCHES_A_SHEET, pixel_size_mm):
        outcomes += batch.unreadable
        if batch.read:
            outcomes += _explained(committee, batch, out, of, taken)
        progress(len(outcomes))
    return outcomes


def _explained(committee: Committee, batch: Batch, out: Path, of: Explained, taken: set[str]) -> list[Explanation]:
    images, probabilities = _highest(batch, _probabilities(committee, batch.views, of))
    maps = explain_committee(committee, images, of)
    explanations = []
    for read, image, heat, probability in zip(batch.read, images, maps, probabilities.tolist(), strict=True):
        picture = out / f"{_free_name(read.file.stem, taken)}.png"
        save_figure(overlay(image, heat, probability, name=read.file.name), picture)
        explanations.append(Explanation(read.file, picture, probability, read.assumed, read.warnings))
    sheet = contact_sheet(images, maps, probabilities, names=[read.file.name for read in batch.read])
    save_figure(sheet, out / f"{_free_name(SHEET, taken)}.png")
    return explanations


def _highest(batch: Batch, probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The highest patch of each file, (n, 60, 60), and its probability."""
    parts = batch.by_file(probabilities)
    images = [read.views[part.argmax()] for read, part in zip(batch.read, parts, strict=True)]
    return np.stack(images), np.array([part.max() for part in parts])


def _probabilities(committee: Committee, images: NDArray[np.float32], of: Explained) -> NDArray[np.float64]:
    experts = committee.expert_probabilities(images)
    return committee.combine(experts) if of == "committee" else experts[:, committee.most_reliable]


def _free_name(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken already, also where capitals are not told from small letters."""
    numbered = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
    taken.add(free.casefold())
    return free
