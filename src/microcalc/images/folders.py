"""The images of a folder and those below it, and what was left out."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from microcalc.errors import FailedError
from microcalc.images.reader import HEAD, file_kind


@dataclass(frozen=True)
class FoundImages:
    """Images of a folder, and a count of all else.

    Attributes:
        files: the images, folder by folder, sorted by name.
        left_out: number of other files, by the suffix that they have.
    """

    files: list[Path]
    left_out: Counter[str] = field(default_factory=Counter)

    def note(self) -> str:
        """Return what was left out and why, in one sentence; empty where nothing was.

        >>> FoundImages([], Counter({".txt": 2, "": 1})).note()
        '3 files were left out, as they are no images: 2 .txt, 1 without suffix'
        """
        if not self.left_out:
            return ""
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in self.left_out.most_common())
        total = self.left_out.total()
        what = "file was left out, as it is no image" if total == 1 else "files were left out, as they are no images"
        return f"{total} {what}: {kinds}"


def find_images(folder: str | os.PathLike[str]) -> FoundImages:
    """Find the images in a folder and in all below it, recognised by content; linked folders are followed, each once.

    Hidden files and folders are left alone. A file that cannot be read, or has the suffix of an image and no content of
    one, counts as an image, so that whoever reads it reports it.

    Raises:
        FailedError: a folder cannot be listed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "patch").write_bytes(b"P5 8 8 255\\n" + bytes(64))
    ...     _ = Path(folder, "notes.txt").write_text("not an image")
    ...     found = find_images(folder)
    ...     [path.name for path in found.files], dict(found.left_out)
    (['patch'], {'.txt': 1})
    """
    found = FoundImages([])
    _descend(Path(folder), found, set())
    return found


IMAGE_SUFFIXES = frozenset({".pgm", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".dcm", ".dicom"})
"""Lower-case suffixes by which a damaged file is still recognised as meant to be an image."""


def is_image(path: Path) -> bool:
    """Whether a file is one of the kinds that are read, by its first bytes; or is meant to be and cannot be read."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file_kind(file.read(HEAD)) is not None
    except OSError:
        return False


def listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in a folder, each sorted by name, without hidden ones.

    Raises:
        FailedError: it cannot be listed or entered.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
        os.stat(f"{folder}{os.sep}.")  # noqa: PTH116 (pathlib drops the dot; one may list a folder without entering it)
    except OSError as error:
        raise FailedError(f"{folder}: cannot be listed ({error.strerror}); change its permissions") from error
    folders, files = ([folder / name for name, is_folder in found if is_folder is kind] for kind in (True, False))
    return folders, files


def _descend(folder: Path, found: FoundImages, seen: set[tuple[int, int]]) -> None:
    folders, files = listed(folder)
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for path in files:
        if is_image(path):
            found.files.append(path)
        else:
            found.left_out[path.suffix.lower()] += 1
    for path in folders:
        _descend(path, found, seen)
