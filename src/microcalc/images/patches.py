"""The check that every array of patches passes on its way in."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microcalc.errors import DataError
from microcalc.images.tiles import PATCH_SIDE


def check_patches(images: ArrayLike, name: str = "images", fewest: int = 1) -> NDArray[np.float32]:
    """Check patches and give them as contiguous float32; the array itself where it is that already.

    Floats of any size, byte order and strides will do. A single patch is refused, since its answer would have another
    shape.

    Args:
        images: (n, 60, 60) floats in [0, 1].
        name: of the parameter, for the error.
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
    expected = f"{name} must be of shape (n, {PATCH_SIDE}, {PATCH_SIDE})"
    if given.shape == (PATCH_SIDE, PATCH_SIDE):
        raise DataError(f"{expected}: got one patch, {given.shape}; give {name}[np.newaxis]")
    if given.ndim != 3 or given.shape[1:] != (PATCH_SIDE, PATCH_SIDE):
        raise DataError(f"{expected}: got {given.shape}")
    if len(given) < fewest:
        raise DataError(f"{expected} with at least one patch: got {given.shape}")
    if given.dtype.kind in "iu":
        way_out = "divide by 255" if given.dtype == np.uint8 else "divide by the largest possible value, 255 for 8 bits"
        raise DataError(f"{name} must be floats in [0, 1]: got {given.dtype}; {way_out}")
    if given.dtype.kind != "f":
        raise DataError(f"{name} must be floats in [0, 1]: got {given.dtype}")
    with np.errstate(over="ignore"):
        patches = np.ascontiguousarray(given, np.float32)
    lowest, highest = float(patches.min(initial=0)), float(patches.max(initial=0))
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise DataError(f"{name} must be finite, in [0, 1]: got NaN or infinity")
    if lowest < 0 or highest > 1:
        way_out = "; divide 8-bit grey values by 255" if lowest >= 0 and highest <= 255 else ""
        raise DataError(f"{name} must lie in [0, 1]: got {lowest:g} to {highest:g}{way_out}")
    return patches
