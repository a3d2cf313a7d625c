"""What in a file speaks for a cluster, as pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microcalc.committee.committee import Committee
from microcalc.explain.committee import Explained
from microcalc.explain.overlay import contact_sheet, overlay
from microcalc.files import check_unused
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
        out: the folder, empty or missing, for ``NAME.png`` of each file and ``contact_sheet.png``. Where files of
            several folders have one name, the folder goes before it; what is still equal is numbered.
        of: the expert of largest weight, or all of them; see :func:`microcalc.explain.committee.explain_committee`.
        resize: resample images of another size.

    Raises:
        RequestError: the folder is not empty.
        FailedError: the pictures cannot be written.
    """
    check_unused(out)
    return _explain_files(committee, files, out, of, resize)


def _explain_files(
    committee: Committee, files: Sequence[Path], out: Path, of: Explained, resize: bool
) -> Iterator[Explanation | Unreadable]:
    taken: set[str] = set()
    titles = dict(zip(files, distinct_names(files), strict=True))
    for batch in read_batches(files, PATCHES_A_SHEET, resize):
        yield from batch.unreadable
        if not batch.files:
            continue
        maps, probabilities = committee.explain(batch.images, of), _probabilities(committee, batch.images, of)
        for file, image, heat, probability in zip(batch.files, batch.images, maps, probabilities, strict=True):
            name = "_".join(titles[file].parts)
            picture = out / f"{_free_name(name.removesuffix(file.suffix), taken, name)}.png"
            save_figure(overlay(image, heat, float(probability), name=str(titles[file])), picture)
            yield Explanation(file, picture, float(probability))
        sheet = contact_sheet(batch.images, maps, probabilities, names=[str(titles[file]) for file in batch.files])
        save_figure(sheet, out / f"{_free_name(SHEET, taken)}.png")


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
    return committee.combine(experts) if of == "committee" else experts[:, committee.most_reliable]


def _free_name(name: str, taken: set[str], *others: str) -> str:
    """The first name that is not taken, numbered where all are; capitals and small letters count as equal."""
    numbered = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name, *others], numbered) if each.casefold() not in taken)
    taken.add(free.casefold())
    return free
