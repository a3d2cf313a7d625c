"""Files read as patches of 60 x 60 pixels at 85 um."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.config import GivenPixelSize
from microcalc.errors import DataError, ImageError, naming
from microcalc.images import read_image
from microcalc.images.image import PixelSize
from microcalc.images.reader import Source
from microcalc.images.resample import TRUE_PIXEL_MM, as_pixel_size
from microcalc.images.tiles import PATCH_SIDE, views


@dataclass(frozen=True, eq=False)
class PatchFile:
    """One file as a committee sees it.

    Attributes:
        views: (k, 60, 60) patches at 85 um; one where the file is a patch, more of a larger field or unknown size.
        pixel_size_mm: of the file's pixels; or "unknown".
        assumed: whether that size was neither in the file nor given.
        warnings: what a user should know about it.
    """

    views: NDArray[np.float32]
    pixel_size_mm: PixelSize | Literal["unknown"]
    assumed: bool = False
    warnings: tuple[str, ...] = ()


def read_patch_file(path: Source, pixel_size_mm: GivenPixelSize = None) -> PatchFile:
    """Read one file as patches at true scale.

    The pixel size of the file counts; ``pixel_size_mm`` where it has none. Where neither is there, an image of
    60 x 60 pixels is taken for a patch of 85 um, and any other is refused.

    Args:
        path: an image or all of its bytes, as :func:`microcalc.images.reader.read_image` reads it.
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
    image, name = read_image(path), "" if isinstance(path, bytes) else os.fspath(path)
    warnings = list(image.warnings)
    size: PixelSize | Literal["unknown"]
    assumed = False
    if image.pixel_size_mm is not None:
        size = image.pixel_size_mm
        if isinstance(pixel_size_mm, int | float) and not np.allclose(size, pixel_size_mm, rtol=0.01):
            own = f"{size[0]:g} x {size[1]:g} mm"
            warnings.append(f"its own pixel size of {own} was used, and not {pixel_size_mm:g} mm as given")
    elif pixel_size_mm is not None:
        size = "unknown" if pixel_size_mm == "unknown" else as_pixel_size(pixel_size_mm)
    elif image.pixels.shape == (PATCH_SIDE, PATCH_SIDE):
        size, assumed = (TRUE_PIXEL_MM, TRUE_PIXEL_MM), True
    else:
        height, width = image.pixels.shape
        raise ImageError(
            f"{width} x {height} pixels and no pixel size, while a patch is {PATCH_SIDE} x {PATCH_SIDE}; "
            f"{''.join(f'{warning}; ' for warning in warnings)}give the pixel size in mm, or unknown; "
            "for a whole mammogram, use microcalc scan",
            name,
        )
    with naming(name):
        return PatchFile(views(image.pixels, size), size, assumed, tuple(warnings))


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
            return PatchFile(image.pixels[None], "unknown", warnings=image.warnings)
    read = read_patch_file(path, pixel_size_mm)
    if len(read.views) > 1:
        raise DataError(
            f"{path}: shows more than a patch of 5.1 x 5.1 mm, {PATCH_SIDE} x {PATCH_SIDE} pixels at 0.085 mm, so that "
            "its label does not say which part it is of; cut the part in question out"
        )
    return read
