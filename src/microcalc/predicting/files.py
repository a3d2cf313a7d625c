"""The files that a request names, read a batch at a time."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microcalc.data.folder import read_patch
from microcalc.errors import RequestError
from microcalc.images import find_images


@dataclass(frozen=True)
class Unreadable:
    """A file that holds no patch, and why, in one line that names it."""

    file: Path
    problem: str


@dataclass(frozen=True, eq=False)
class Batch:
    """Some files and their (n, 60, 60) patches, and those on the way that could not be read."""

    files: list[Path]
    images: NDArray[np.float32]
    unreadable: list[Unreadable]


def find_files(requests: Sequence[str]) -> list[Path]:
    """Turn files, folders and patterns such as ``scans/**/*.png`` into files, each of them once.

    Of a folder, all images in it and below are taken, known by their suffix; a folder without images stands for itself,
    so that it is told as unreadable by name and costs only itself. A path that exists is never taken for a pattern.

    Raises:
        RequestError: nothing is named, a path does not exist, or nothing fits a pattern.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in find_files([folder, f"{folder}/*.png"])]
    ['a.png', 'b.png']
    """
    if not requests:
        raise RequestError("no images are named; give image files, folders or a pattern such as 'scans/*.png'")
    return list(dict.fromkeys(file for request in requests for path in _paths(request) for file in _files(path)))


def _paths(request: str) -> list[Path]:
    if Path(request).exists():
        return [Path(request)]
    matches = glob.glob(request, recursive=True) if glob.has_magic(request) else []  # noqa: PTH207 (absolute patterns)
    if not matches:
        raise RequestError(f"{request}: does not exist; name image files, folders or a pattern such as 'scans/*.png'")
    return [Path(path) for path in sorted(matches)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return find_images(path).files or [path]


def read_batches(files: Sequence[Path], size: int, resize: bool = False) -> Iterator[Batch]:
    """Read files in batches of ``size``, in their order; see :func:`microcalc.data.folder.read_patch` for ``resize``.

    >>> [batch.unreadable[0].problem for batch in read_batches([Path("missing.png")], size=32)]
    ['missing.png: does not exist; check its name and folder']
    """
    for start in range(0, len(files), size):
        read, patches, unreadable = [], [], []
        for file in files[start : start + size]:
            try:
                patches.append(read_patch(file, resize))
                read.append(file)
            except RequestError as error:
                unreadable.append(Unreadable(file, str(error)))
        yield Batch(read, np.stack(patches) if patches else np.empty((0, 60, 60), np.float32), unreadable)
