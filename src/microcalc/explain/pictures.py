"""Pictures of what in a file raises the probability of a cluster."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.config import GradcamMethod
from microcalc.data.patch_files import Batch, GivenPixelSize, Unreadable, read_batches
from microcalc.explain.drawing import contact_sheet, overlay, save_figure
from microcalc.explain.maps import Explained, explain
from microcalc.files import check_unused

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
    of: Explained = "highest_weight",
    pixel_size_mm: GivenPixelSize = None,
    method: GradcamMethod = "hirescam",
    progress: Callable[[int], None] = lambda done: None,
) -> list[Explanation | Unreadable]:
    """Draw the Grad-CAM map of each file beside the patch and over it, and contact sheets of about 24 patches each.

    Args:
        committee: whose experts are explained.
        files: images, as :func:`microcalc.data.patch_files.read_patch_file` reads them; of several patches, the
            highest is explained.
        out: the folder, empty or missing, for ``NAME.png`` of each file and ``contact_sheet.png``. Where files of
            several folders have one name, the folder goes before it; what is still equal is numbered.
        of: the expert of highest weight, or all of them; see :func:`microcalc.explain.maps.explain`.
        pixel_size_mm: of images whose files do not give it.
        method: of :mod:`microcalc.explain.methods`.
        progress: called with the number of files done, after each sheet.

    Raises:
        RequestError: the folder is not empty.
        FailedError: the pictures cannot be written.
    """
    check_unused(out)
    names, taken = dict(zip(files, distinct_names(files), strict=True)), set[str]()
    outcomes: list[Explanation | Unreadable] = []
    for batch in read_batches(files, PATCHES_A_SHEET, pixel_size_mm):
        outcomes += batch.unreadable
        if batch.read:
            outcomes += _explained(committee, batch, out, of, method, names, taken)
        progress(len(outcomes))
    return outcomes


def _explained(
    committee: Committee,
    batch: Batch,
    out: Path,
    of: Explained,
    method: GradcamMethod,
    names: dict[Path, Path],
    taken: set[str],
) -> list[Explanation]:
    images, probabilities = _highest(batch, _probabilities(committee, batch.views, of))
    maps = explain(committee, images, of, method)
    explanations = []
    for read, image, heat, probability in zip(batch.read, images, maps, probabilities.tolist(), strict=True):
        name = "_".join(names[read.file].parts)
        picture = out / f"{_free_name(name.removesuffix(read.file.suffix), taken, name)}.png"
        save_figure(overlay(image, heat, probability, name=str(names[read.file]), method=method), picture)
        explanations.append(Explanation(read.file, picture, probability, read.assumed, read.warnings))
    sheet = contact_sheet(images, maps, probabilities, names=[str(names[read.file]) for read in batch.read])
    save_figure(sheet, out / f"{_free_name(SHEET, taken)}.png")
    return explanations


def _highest(batch: Batch, probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The highest patch of each file, (n, 60, 60), and its probability."""
    parts = batch.by_file(probabilities)
    images = [read.views[part.argmax()] for read, part in zip(batch.read, parts, strict=True)]
    return np.stack(images), np.array([part.max() for part in parts])


def distinct_names(files: Sequence[Path]) -> list[Path]:
    """The end of each path that no other file has: its name, after as many of its folders as that takes.

    >>> [str(name) for name in distinct_names([Path("x/left/a.png"), Path("x/right/a.png"), Path("x/left/b.png")])]
    ['left/a.png', 'right/a.png', 'b.png']
    """
    paths = [Path(*file.absolute().parts[1:]) for file in files]
    lengths = [1] * len(paths)
    for length in range(1, max((len(path.parts) for path in paths), default=1)):
        ends = [str(_end(path, length)).casefold() for path in paths]
        often = Counter(ends)
        lengths = [length + 1 if often[end] > 1 else kept for end, kept in zip(ends, lengths, strict=True)]
        if len(often) == len(paths):
            break
    return [_end(path, length) for path, length in zip(paths, lengths, strict=True)]


def _end(path: Path, length: int) -> Path:
    return Path(*path.parts[-length:])


def _probabilities(committee: Committee, images: NDArray[np.float32], of: Explained) -> NDArray[np.float64]:
    experts = committee.expert_probabilities(images)
    return committee.combine(experts) if of == "committee" else experts[:, committee.highest_weight]


def _free_name(name: str, taken: set[str], *others: str) -> str:
    """The first name that is not taken, numbered where all are; capitals and small letters count as equal."""
    numbered = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name, *others], numbered) if each.casefold() not in taken)
    taken.add(free.casefold())
    return free
