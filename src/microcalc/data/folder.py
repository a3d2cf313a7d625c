"""A dataset of anyone: a folder or a ZIP archive with 0/ and 1/, and perhaps a groups.csv with the patients."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microcalc.config import GivenPixelSize
from microcalc.data.archives import unpacked_zip
from microcalc.data.groups import GROUPS_FILE, find_groups, read_groups, with_one_spelling
from microcalc.data.patch_files import PatchFile, read_patch
from microcalc.data.provenance import patients_from_names
from microcalc.errors import DataError, RequestError
from microcalc.images import FoundImages, find_images, is_image
from microcalc.images.folders import listed

MOST_NAMED = 3


PixelSizeKind = Literal["known", "assumed", "unknown"]


class LabelledFolder(NamedTuple):
    """The content of a folder with 0/ and 1/, as :class:`microcalc.data.Data` has it."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    files: tuple[str, ...]
    patients: tuple[str, ...]
    pixel_size: PixelSizeKind
    warnings: tuple[str, ...]


def read_labelled_folder(path: Path, pixel_size_mm: GivenPixelSize = None) -> LabelledFolder:
    """Read all images in and below ``0/`` (normal tissue) and ``1/`` (cluster present) of a folder or a ZIP archive.

    A ``groups.csv`` beside them, with the columns ``file`` and ``patient``, gives the patient of every file; ``file``
    is the path in the dataset (``0/a.png``) or the bare name where only one file has it. Without it, a patient is known
    by the name of the file (:func:`microcalc.data.provenance.patients_from_names`), or else by the folder in ``0/`` or
    ``1/`` that holds it.

    Args:
        path: a folder or a ZIP archive; the ZIP may hold one folder that holds the rest.
        pixel_size_mm: of images whose files do not give it, or "unknown"; images of known size are brought to 85 um a
            pixel, and those of unknown size kept as they are, all 60 x 60.

    Raises:
        DataError: no such dataset, an empty class, an image that shows more than a patch, or a ``groups.csv`` that does
            not fit.
        ImageError: an image that cannot be read, has no pixel size or shows less than a patch.
        FailedError: no room to unpack the ZIP archive, or a folder that cannot be listed.
    """
    with _opened(path) as folder:
        folders, files_beside = listed(folder)
        found = [_images_of_class(folder, label, path) for label in "01"]
        paths = [image for images in found for image in images.files]
        files = tuple(image.relative_to(folder).as_posix() for image in paths)
        patients, doubts = _patients(folder, files)
        left_out = FoundImages([], sum((images.left_out for images in found), Counter())).note()
        read = [read_patch(image, pixel_size_mm) for image in paths]
        return LabelledFolder(
            images=np.concatenate([each.views for each in read]),
            labels=np.array([int(file[0]) for file in files], dtype=np.int64),
            files=files,
            patients=patients,
            pixel_size=_pixel_size_kind(read),
            warnings=(
                *_warned(files, read),
                *_not_read(folders, files_beside),
                *([f"in 0/ and 1/, {left_out}"] if left_out else []),
                *doubts,
            ),
        )


def _pixel_size_kind(read: Sequence[PatchFile]) -> PixelSizeKind:
    if any(each.pixel_size_mm == "unknown" for each in read):
        return "unknown"
    return "assumed" if any(each.assumed for each in read) else "known"


def _warned(files: Sequence[str], read: Sequence[PatchFile]) -> list[str]:
    """Each warning once, with the first file that has it and the number of others."""
    having: dict[str, list[str]] = {}
    for file, each in zip(files, read, strict=True):
        for warning in each.warnings:
            having.setdefault(warning, []).append(file)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {warning}"
        for warning, names in having.items()
    ]


def _not_read(folders: Sequence[Path], files: Sequence[Path]) -> Iterator[str]:
    """Warn of what lies beside 0/ and 1/ and might be meant to be read."""
    others = [f"{folder.name}/" for folder in folders if folder.name not in ("0", "1", "__MACOSX")]
    if others:
        yield f"{_named(others)} beside 0/ and 1/ was not read: a dataset has two classes"
    images = [file.name for file in files if is_image(file)]
    if images:
        yield f"{_named(images)} was not read: images of a dataset lie in 0/ and 1/"


def _patients(folder: Path, files: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The patient of each file, and warnings where that had to be guessed."""
    groups = find_groups(folder)
    if groups is not None:
        return with_one_spelling(read_groups(groups, files))
    named = patients_from_names(files)
    by_folder = [file for file, patient in zip(files, named, strict=True) if patient == file and file.count("/") > 1]
    of_folder = dict(zip(by_folder, (file.split("/")[1] for file in by_folder), strict=True))
    unknown = [file for file, patient in zip(files, named, strict=True) if patient == file and file not in of_folder]
    spelled, warnings = with_one_spelling(tuple(of_folder.values()))
    of_folder = dict(zip(of_folder, spelled, strict=True))
    if of_folder:
        example = next(iter(of_folder)).rpartition("/")[0]
        warnings += (f"each folder such as {example}/ counts as one patient; give a {GROUPS_FILE} if it is not",)
    if unknown:
        warnings += (
            f"{len(unknown)} of {len(files)} files do not name their patient, and each counts as a patient of its own: "
            f"{_named(unknown)}; give a {GROUPS_FILE}, or figures may be too good",
        )
    return tuple(of_folder.get(file, patient) for file, patient in zip(files, named, strict=True)), warnings


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such dataset; give infn, phantom, external, or a folder or ZIP with 0/ and 1/")
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise DataError(f"{path}: not a folder or ZIP with 0/ and 1/; the INFN archive is given as archive")
    if path.is_dir():
        yield path
        return
    with unpacked_zip(path) as folder:
        inner = [child for child in folder.iterdir() if (child / "0").is_dir() and (child / "1").is_dir()]
        try:
            yield inner[0] if len(inner) == 1 else folder
        except RequestError as error:
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def _images_of_class(folder: Path, label: str, path: Path) -> FoundImages:
    found = find_images(folder / label) if (folder / label).is_dir() else FoundImages([])
    if not found.files:
        raise DataError(
            f"{path}: no image in {label}/; a dataset holds 0/ (normal) and 1/ (cluster) with PNG, TIFF, PGM, JPEG or "
            "DICOM files"
        )
    return found
