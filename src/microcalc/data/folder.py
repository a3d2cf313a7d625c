"""A dataset of anyone: a folder or a ZIP archive with 0/ and 1/, and perhaps a groups.csv that tells the patients."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.data.archives import unpacked_zip
from microcalc.data.patch_files import GivenPixelSize, PatchFile, read_patch
from microcalc.data.provenance import patients_from_names
from microcalc.errors import DataError, RequestError
from microcalc.images import FoundImages, find_images, is_image

GROUPS_FILE = "groups.csv"

PixelSizeKind = Literal["known", "assumed", "unknown"]


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """What a folder with 0/ and 1/ holds.

    Attributes:
        images: (n, 60, 60) grey values in [0, 1].
        labels: (n,) 0 or 1.
        files: path of each in the dataset.
        patients: patient of each.
        pixel_size: whether it was known, assumed for some to be 85 um, or is unknown for some.
        notes: what a user should know: files left out, and warnings of single images.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    files: tuple[str, ...]
    patients: tuple[str, ...]
    pixel_size: PixelSizeKind
    notes: tuple[str, ...]


def read_labelled_folder(path: Path, pixel_size_mm: GivenPixelSize = None) -> LabelledFolder:
    """Read all images in ``0/`` (normal tissue) and ``1/`` (cluster present) of a folder or a ZIP archive.

    A ``groups.csv`` beside them, with the columns ``file`` and ``patient``, tells the patient of every file; ``file``
    is the path in the dataset (``0/a.png``) or the bare name where only one file has it. Without it, patients are told
    by the names (:func:`microcalc.data.provenance.patients_from_names`).

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
        found = [_images_of_class(folder, label, path) for label in "01"]
        paths = [image for each in found for image in each.files]
        files = tuple(image.relative_to(folder).as_posix() for image in paths)
        groups = folder / GROUPS_FILE
        patients = read_groups(groups, files) if groups.is_file() else patients_from_names(files)
        read = [read_patch(image, pixel_size_mm) for image in paths]
        return LabelledFolder(
            images=np.concatenate([each.views for each in read]),
            labels=np.array([int(file[0]) for file in files], dtype=np.int64),
            files=files,
            patients=patients,
            pixel_size=_pixel_size_kind(read),
            notes=(*_assumed(read), *_warned(files, read), *_left_out(folder, found)),
        )


def _pixel_size_kind(read: Sequence[PatchFile]) -> PixelSizeKind:
    if any(each.pixel_size_mm == "unknown" for each in read):
        return "unknown"
    return "assumed" if any(each.assumed for each in read) else "known"


def _assumed(read: Sequence[PatchFile]) -> list[str]:
    count = sum(each.assumed for each in read)
    return [f"the pixel size of {count} of {len(read)} images was assumed to be 0.085 mm"] if count else []


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


def _left_out(folder: Path, found: Sequence[FoundImages]) -> list[str]:
    """What of a dataset's folder is not read: other files in 0/ and 1/, and images beside them."""
    notes = [f"{label}/: {each.note()}" for label, each in zip("01", found, strict=True) if each.left_out]
    others = sorted(child.name for child in folder.iterdir() if child.name not in ("0", "1", GROUPS_FILE, "masks"))
    beside = [name for name in others if not name.startswith(".") and _holds_images(folder / name)]
    if beside:
        notes.append(f"images outside 0/ and 1/ were left out: {', '.join(beside[:5])}{' ...' * (len(beside) > 5)}")
    return notes


def _holds_images(path: Path) -> bool:
    return bool(find_images(path).files) if path.is_dir() else is_image(path)


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such dataset; give infn, phantom, external, or a folder or ZIP with 0/ and 1/")
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise DataError(f"{path}: not a folder or ZIP with 0/ and 1/; the INFN archive is given by --archive")
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


def read_groups(path: Path, files: Sequence[str]) -> tuple[str, ...]:
    """Read the patient of each file from a ``groups.csv``.

    Raises:
        DataError: not readable as UTF-8 text in CSV, no ``file`` or ``patient`` column, a row without a patient, a file
            that is not in the dataset or is named twice, or a file of the dataset without a row.

    >>> import tempfile
    >>> groups = Path(tempfile.mkdtemp()) / "groups.csv"
    >>> _ = groups.write_text("file,patient\\n0/a.png,anna\\nb.png,bea\\n")
    >>> read_groups(groups, ["0/a.png", "1/a.png", "1/b.png"])
    Traceback (most recent call last):
    ...
    microcalc.errors.DataError: ...groups.csv: no row for 1/a.png; every file of the dataset needs one
    >>> read_groups(groups, ["0/a.png", "1/b.png"])
    ('anna', 'bea')
    """
    known = _files_by_name(files)
    patients: dict[str, str] = {}
    for line, name, patient in _rows(path):
        matches = known.get(name.replace("\\", "/").removeprefix("./"), [])
        if len(matches) != 1:
            trouble = "is not in the dataset" if not matches else f"is both {' and '.join(matches)}"
            raise DataError(f"{path}: line {line}: {name!r} {trouble}; give the path as in {files[0]!r}")
        if matches[0] in patients:
            raise DataError(f"{path}: line {line}: {name!r} is named a second time; give each file one row")
        if not patient:
            raise DataError(f"{path}: line {line}: no patient for {name!r}; fill it in")
        patients[matches[0]] = patient
    for file in files:
        if file not in patients:
            raise DataError(f"{path}: no row for {file}; every file of the dataset needs one")
    return tuple(patients[file] for file in files)


def _files_by_name(files: Sequence[str]) -> dict[str, list[str]]:
    """The files that a path or a bare name stands for."""
    known: dict[str, list[str]] = {file: [file] for file in files}
    for file in files:
        known.setdefault(file.rpartition("/")[2], []).append(file)
    return known


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, file and patient of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = {"file", "patient"} - set(reader.fieldnames or ())
            if lacking:
                raise DataError(f"{path}: no column {' and '.join(sorted(lacking))}; its first line is file,patient")
            for row in reader:
                yield reader.line_num, (row["file"] or "").strip(), (row["patient"] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); save it as such") from error
