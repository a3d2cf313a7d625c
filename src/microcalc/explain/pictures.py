"""Pictures of what in a file raises the probability of a cluster."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from microcalc.committee.committee import Committee
from microcalc.committee.predictions import Prediction, predict_batch
from microcalc.config import GivenPixelSize, GradcamMethod
from microcalc.data.patch_files import Batch, Unreadable, read_batches
from microcalc.explain.drawing import contact_sheet, overlay, save_figure
from microcalc.explain.maps import Explained, explain
from microcalc.files import check_unused

SHEET = "contact_sheet"
PATCHES_A_SHEET = 24


@dataclass(frozen=True)
class Explanation:
    """The prediction for one file, and the place of the picture that explains it."""

    prediction: Prediction
    picture: Path


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
        committee: to explain.
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
    predictions, images = predict_batch(committee, batch)
    maps = explain(committee, images, of, method)
    best = committee.highest_weight if of == "highest_weight" else None
    votes = [None if best is None else (best, each.experts[best]) for each in predictions]
    explanations = []
    for prediction, image, heat, vote in zip(predictions, images, maps, votes, strict=True):
        file, probability = prediction.file, prediction.probability
        name = "_".join(names[file].parts)
        picture = out / f"{_free_name(name.removesuffix(file.suffix), taken, name)}.png"
        save_figure(overlay(image, heat, probability, name=str(names[file]), method=method, vote=vote), picture)
        explanations.append(Explanation(prediction, picture))
    titles = [str(names[each.file]) for each in predictions]
    sheet = contact_sheet(images, maps, [each.probability for each in predictions], names=titles, votes=votes)
    save_figure(sheet, out / f"{_free_name(SHEET, taken)}.png")
    return explanations


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


def _free_name(name: str, taken: set[str], *others: str) -> str:
    """The first name that is not taken, numbered where all are; capitals and small letters count as equal."""
    numbered = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name, *others], numbered) if each.casefold() not in taken)
    taken.add(free.casefold())
    return free
