"""The files that a request names, found and read as patches of 60 x 60 pixels at 85 um."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.config import GivenPixelSize
from microcalc.errors import DataError, ImageError, RequestError, TransientImageError
from microcalc.images import FoundImages, find_images, read_image
from microcalc.images.image import PixelSize
from microcalc.images.resample import TRUE_PIXEL_MM, as_pixel_size
from microcalc.images.tiles import PATCH_SIDE, views


@dataclass(frozen=True, eq=False)
class PatchFile:
    """One file as a committee sees it.

    Attributes:
        file: where it is.
        views: (k, 60, 60) patches at 85 um; one where the file is a patch, more of a larger field or unknown size.
        pixel_size_mm: of the file's pixels; or "unknown".
        assumed: whether that size was neither in the file nor given.
        warnings: what a user should know about it.
    """

    file: Path
    views: NDArray[np.float32]
    pixel_size_mm: PixelSize | Literal["unknown"]
    assumed: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """A file that holds no patch, and why, without its name; another try may read a ``transient`` one."""

    file: Path
    problem: str
    transient: bool = False

    def __str__(self) -> str:
        """One line that names the file."""
        return str(ImageError(self.problem, self.file))


def find_files(requests: Sequence[str]) -> FoundImages:
    """Turn files, folders and patterns such as ``scans/**/*.png`` into files, each of them once.

    Of a folder, all images in it and below are taken, see :func:`microcalc.images.folders.find_images`; a folder
    without images stands for itself, so that it is reported. A path that exists is never taken for a pattern.

    Raises:
        RequestError: nothing is named, a path does not exist, or nothing fits a pattern.
        FailedError: a folder cannot be listed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.png", "b.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     found = find_files([folder, f"{folder}/*.png"])
    ...     [path.name for path in found.files], dict(found.left_out)
    (['a.png', 'b.png'], {'.txt': 1})
    """
    if not requests:
        raise RequestError("no images are named; give image files, folders or a pattern such as 'scans/*.png'")
    found = [_in(path) for request in requests for path in _paths(request)]
    files = dict.fromkeys(file for each in found for file in each.files)
    return FoundImages(list(files), sum((each.left_out for each in found), Counter[str]()))


def _paths(request: str) -> list[Path]:
    if Path(request).exists():
        return [Path(request)]
    matches = glob.glob(request, recursive=True) if glob.has_magic(request) else []  # noqa: PTH207 (absolute patterns)
    if not matches:
        raise RequestError(f"{request}: does not exist; name image files, folders or a pattern such as 'scans/*.png'")
    return [Path(path) for path in sorted(matches)]


def _in(path: Path) -> FoundImages:
    if not path.is_dir():
        return FoundImages([path])
    found = find_images(path)
    return found if found.files else FoundImages([path], found.left_out)


def read_patch_file(path: Path, pixel_size_mm: GivenPixelSize = None) -> PatchFile:
    """Read one file as patches at true scale.

    The pixel size of the file counts; ``pixel_size_mm`` where it has none. Where neither is there, an image of
    60 x 60 pixels is taken for a patch of 85 um, and any other is refused.

    Args:
        path: an image, as :func:`microcalc.images.reader.read_image` reads it.
        pixel_size_mm: of the image, or "unknown": see :func:`microcalc.images.tiles.views`.

    Raises:
        ImageError: the image cannot be read, has no pixel size, or shows less than a patch or a whole mammogram.
        RequestError: no such pixel size is possible.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "patch.pgm").write_text("P2 60 60 255 " + 3600 * "51 ")
    ...     read = read_patch_file(Path(folder, "patch.pgm"))
    >>> read.views.shape, read.pixel_size_mm, read.assumed
    ((1, 60, 60), (0.085, 0.085), True)
    """
    image = read_image(path)
    warnings = list(image.warnings)
    size: PixelSize | Literal["unknown"]
    assumed = False
    if image.pixel_size_mm is not None:
        size = image.pixel_size_mm
        if isinstance(pixel_size_mm, int | float) and not np.allclose(size, pixel_size_mm, rtol=0.01):
            warnings.append(f"its own pixel size of {size[0]:g} mm was used, and not {pixel_size_mm:g} mm as given")
    elif pixel_size_mm is not None:
        size = "unknown" if pixel_size_mm == "unknown" else as_pixel_size(pixel_size_mm)
    elif image.pixels.shape == (PATCH_SIDE, PATCH_SIDE):
        size, assumed = (TRUE_PIXEL_MM, TRUE_PIXEL_MM), True
    else:
        height, width = image.pixels.shape
        raise ImageError(
            f"{width} x {height} pixels and no pixel size, while a patch is {PATCH_SIDE} x {PATCH_SIDE}; "
            f"{''.join(f'{warning}; ' for warning in warnings)}give the pixel size in mm, or unknown",
            path,
        )
    try:
        return PatchFile(path, views(image.pixels, size), size, assumed, tuple(warnings))
    except ImageError as error:
        error.file = str(path)
        raise


def read_patch(path: Path, pixel_size_mm: GivenPixelSize = None) -> PatchFile:
    """Read a file that is to be one patch, as a dataset needs it.

    An image of unknown pixel size is kept as it is, and must have 60 x 60 pixels.

    Raises:
        ImageError: as for :func:`read_patch_file`.
        DataError: it shows more than one patch.
    """
    if pixel_size_mm == "unknown":
        image = read_image(path)
        if image.pixel_size_mm is None and image.pixels.shape == (PATCH_SIDE, PATCH_SIDE):
            return PatchFile(path, image.pixels[None], "unknown", warnings=image.warnings)
    read = read_patch_file(path, pixel_size_mm)
    if len(read.views) > 1:
        raise DataError(
            f"{path}: shows more than a patch of 5.1 x 5.1 mm, {PATCH_SIDE} x {PATCH_SIDE} pixels at 0.085 mm, so that "
            "its label does not say which part it is of; cut the part in question out"
        )
    return read


@dataclass(frozen=True, eq=False)
class Batch:
    """Some files as patches, and those on the way that could not be read."""

    read: list[PatchFile] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def views(self) -> NDArray[np.float32]:
        """All patches of all files, (n, 60, 60)."""
        empty = np.empty((0, PATCH_SIDE, PATCH_SIDE), np.float32)
        return np.concatenate([empty, *(each.views for each in self.read)])

    def by_file(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """One array of all patches' values, cut into one array a file."""
        return np.split(values, np.cumsum([len(each.views) for each in self.read])[:-1]) if self.read else []


def read_batches(files: Sequence[Path], size: int, pixel_size_mm: GivenPixelSize = None) -> Iterator[Batch]:
    """Read files, in their order, in batches of at least ``size`` patches; only the last may hold fewer.

    >>> [str(batch.unreadable[0]) for batch in read_batches([Path("missing.png")], size=32)]
    ['missing.png: does not exist; check its name and folder']
    """
    batch, count = Batch(), 0
    for file in files:
        try:
            batch.read.append(read_patch_file(file, pixel_size_mm))
            count += len(batch.read[-1].views)
        except ImageError as error:
            transient = isinstance(error, TransientImageError)
            batch.unreadable.append(Unreadable(file, error.problem, transient))
        if count + len(batch.unreadable) >= size:
            yield batch
            batch, count = Batch(), 0
    if batch.read or batch.unreadable:
        yield batch
