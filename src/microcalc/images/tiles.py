"""A field of any size -> the patches of 60 x 60 pixels in which a committee sees it; and the check of patches."""

from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microcalc.errors import DataError, ImageError
from microcalc.images.image import PixelSize
from microcalc.images.resample import TRUE_PIXEL_MM, as_pixel_size, to_true_scale, true_shape

PATCH_SIDE = 60
"""Pixels along a patch: 5.1 mm at 85 um."""

SMALLEST_FIELD = 54
"""Fewest pixels at 85 um along a field: a tenth less than a patch. What lacks is mirrored at the edges."""

LARGEST_FIELD = 600
"""Most pixels at 85 um along a field: 51 mm. Larger fields are mammograms, for ``microcalc scan``."""

MAGNIFICATIONS = (1.0, 1.4, 2.0, 2.8, 4.0)
"""Magnifications for an image of unknown pixel size: half an octave apart, up to pixels of 0.34 mm."""


def views(pixels: NDArray[np.float32], pixel_size_mm: float | PixelSize | Literal["unknown"]) -> NDArray[np.float32]:
    """Every patch of a field, at 85 um a pixel; the field's answer is that of its highest patch.

    A field larger than a patch is covered by patches at most half a patch apart. Of unknown pixel size, it is seen
    magnified 1, 1.4, 2, 2.8 and 4 times, as far as it then is as large as a patch.

    Args:
        pixels: (height, width) in [0, 1].
        pixel_size_mm: one number, (row, column), or "unknown".

    Returns:
        (k, 60, 60) float32 in [0, 1], k at least 1.

    Raises:
        ImageError: the field is more than a tenth smaller than a patch, or as large as a mammogram.
        RequestError: no such pixel size is possible.

    >>> field = np.zeros((120, 60), np.float32)
    >>> views(field, 0.085).shape, views(field[:60], "unknown").shape
    ((3, 60, 60), (88, 60, 60))
    >>> views(field, 0.0425)
    Traceback (most recent call last):
    ...
    microcalc.errors.ImageError: shows 5.1 x 2.6 mm, and a patch is 5.1 x 5.1 mm; give a larger part of the mammogram
    """
    if pixel_size_mm != "unknown":
        return _tiled(to_true_scale(pixels, _checked(pixels.shape, as_pixel_size(pixel_size_mm))))
    _checked(pixels.shape, as_pixel_size(TRUE_PIXEL_MM * MAGNIFICATIONS[-1]), most=LARGEST_FIELD * MAGNIFICATIONS[-1])
    sizes = [(TRUE_PIXEL_MM * magnification,) * 2 for magnification in MAGNIFICATIONS]
    fields = [to_true_scale(pixels, size) for size in sizes if min(true_shape(pixels.shape, size)) >= SMALLEST_FIELD]
    return np.concatenate([_tiled(field) for field in fields])


def _checked(shape: tuple[int, ...], size: PixelSize, most: float = LARGEST_FIELD) -> PixelSize:
    height, width = true_shape(shape, size)
    millimetres = " x ".join(f"{n * each:.1f}" for n, each in zip(shape, size, strict=True))
    if min(height, width) < SMALLEST_FIELD:
        raise ImageError(f"shows {millimetres} mm, and a patch is 5.1 x 5.1 mm; give a larger part of the mammogram")
    if max(height, width) > most:
        raise ImageError(f"shows {millimetres} mm, a mammogram or a large part of one; use microcalc scan")
    return size


def _tiled(field: NDArray[np.float32]) -> NDArray[np.float32]:
    lacking = [max(PATCH_SIDE - n, 0) for n in field.shape]
    if any(lacking):
        field = np.pad(field, [(n // 2, n - n // 2) for n in lacking], mode="reflect")
    starts = product(*(_starts(n) for n in field.shape))
    return np.stack([field[row : row + PATCH_SIDE, column : column + PATCH_SIDE] for row, column in starts])


def _starts(length: int) -> list[int]:
    """First pixels of the patches along an axis: from edge to edge, evenly, at most half a patch apart."""
    count = -(-(length - PATCH_SIDE) // (PATCH_SIDE // 2)) + 1
    return [int(start) for start in np.rint(np.linspace(0, length - PATCH_SIDE, count))]


def check_patches(images: ArrayLike, fewest: int = 1) -> NDArray[np.float32]:
    """Check patches and give them as contiguous float32; the array itself where it is that already.

    Floats of any size, byte order and strides will do. A single patch is refused, since its answer would have another
    shape.

    Args:
        images: (n, 60, 60) floats in [0, 1].
        fewest: patches, 0 or 1.

    Raises:
        DataError: a ValueError that names the parameter, what was given and what was expected.

    >>> check_patches(np.zeros((2, 60, 60))).dtype
    dtype('float32')
    >>> check_patches(np.zeros((60, 60)))
    Traceback (most recent call last):
    ...
    microcalc.errors.DataError: images must be of shape (n, 60, 60): got one patch, (60, 60); give images[np.newaxis]
    """
    given = np.asarray(images)
    expected = f"images must be of shape (n, {PATCH_SIDE}, {PATCH_SIDE})"
    if given.shape == (PATCH_SIDE, PATCH_SIDE):
        raise DataError(f"{expected}: got one patch, {given.shape}; give images[np.newaxis]")
    if given.ndim != 3 or given.shape[1:] != (PATCH_SIDE, PATCH_SIDE):
        raise DataError(f"{expected}: got {given.shape}")
    if len(given) < fewest:
        raise DataError(f"{expected} with at least one patch: got {given.shape}")
    if given.dtype.kind in "iu":
        way_out = "divide by 255" if given.dtype == np.uint8 else "divide by the largest possible value, 255 for 8 bits"
        raise DataError(f"images must be floats in [0, 1]: got {given.dtype}; {way_out}")
    if given.dtype.kind != "f":
        raise DataError(f"images must be floats in [0, 1]: got {given.dtype}")
    with np.errstate(over="ignore"):
        patches = np.ascontiguousarray(given, np.float32)
    lowest, highest = float(patches.min(initial=0)), float(patches.max(initial=0))
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise DataError("images must be finite, in [0, 1]: got NaN or infinity")
    if lowest < 0 or highest > 1:
        way_out = "; divide 8-bit grey values by 255" if lowest >= 0 and highest <= 255 else ""
        raise DataError(f"images must lie in [0, 1]: got {lowest:g} to {highest:g}{way_out}")
    return patches
