"""A dataset of anyone: a folder or a ZIP archive with 0/ and 1/, and perhaps a groups.csv that tells the patients."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from microcalc.data.archives import unpacked_zip
from microcalc.data.provenance import patients_from_names
from microcalc.errors import DataError, RequestError
from microcalc.images import find_images, read_image

PATCH_SIZE = 60
LARGEST_PATCH = 600  # pixels a side; shrunk to 60, nothing of a calcification would be left
GROUPS_FILE = "groups.csv"


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """What a folder with 0/ and 1/ holds: (n, 60, 60) grey values in [0, 1], and label, path and patient of each."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    files: tuple[str, ...]
    patients: tuple[str, ...]


def read_labelled_folder(path: Path, resize: bool = False) -> LabelledFolder:
    """Read all images in ``0/`` (normal tissue) and ``1/`` (cluster present) of a folder or a ZIP archive.

    A ``groups.csv`` beside them, with the columns ``file`` and ``patient``, tells the patient of every file; ``file``
    is the path in the dataset (``0/a.png``) or the bare name where only one file has it. Without it, patients are told
    by the names (:func:`microcalc.data.provenance.patients_from_names`).

    Args:
        path: a folder or a ZIP archive; the ZIP may hold one folder that holds the rest.
        resize: resample images of another size to 60 x 60 (Lanczos, whatever their shape and pixel spacing).

    Raises:
        DataError: no such dataset, an empty class, an image of another size, or a ``groups.csv`` that does not fit.
        ImageError: an image that cannot be read.
        FailedError: no room to unpack the ZIP archive.
    """
    with _opened(path) as folder:
        paths = [image for label in "01" for image in _images_of_class(folder, label, path)]
        files = tuple(image.relative_to(folder).as_posix() for image in paths)
        groups = folder / GROUPS_FILE
        patients = read_groups(groups, files) if groups.is_file() else patients_from_names(files)
        return LabelledFolder(
            images=np.stack([read_patch(image, resize) for image in paths]),
            labels=np.array([int(file[0]) for file in files], dtype=np.int64),
            files=files,
            patients=patients,
        )


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


def _images_of_class(folder: Path, label: str, path: Path) -> Sequence[Path]:
    images = find_images(folder / label).files if (folder / label).is_dir() else []
    if not images:
        raise DataError(
            f"{path}: no image in {label}/; a dataset holds 0/ (normal) and 1/ (cluster) with PNG, TIFF, PGM, JPEG or "
            "DICOM files"
        )
    return images


def read_patch(path: Path, resize: bool = False) -> NDArray[np.float32]:
    """Read one patch.

    Args:
        path: an image of 60 x 60 pixels, as :func:`microcalc.images.read_image` reads it.
        resize: resample an image of another size (Lanczos, whatever its shape and pixel spacing).

    Returns:
        (60, 60) grey values in [0, 1].

    Raises:
        ImageError: the image cannot be read.
        DataError: it has another size and is not to be resized, or is far too large to be a patch.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "patch.pgm").write_text("P2 60 60 255 " + 3600 * "51 ")
    ...     read_patch(Path(folder, "patch.pgm")).shape
    (60, 60)
    """
    pixels = read_image(path).pixels
    height, width = pixels.shape
    if (height, width) == (PATCH_SIZE, PATCH_SIZE):
        return pixels
    if max(height, width) > LARGEST_PATCH:
        raise DataError(
            f"{path}: {width} x {height} pixels, a mammogram or a large part of one and not a patch; "
            f"cut the place in question out to {PATCH_SIZE} x {PATCH_SIZE} pixels, 5.1 x 5.1 mm"
        )
    if not resize:
        raise DataError(
            f"{path}: {width} x {height} pixels, not {PATCH_SIZE} x {PATCH_SIZE}; cut it to that size, or give --resize"
        )
    resized = Image.fromarray(pixels).resize((PATCH_SIZE, PATCH_SIZE), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(resized, dtype=np.float32), 0, 1)


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
