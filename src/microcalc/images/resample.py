"""An image of known pixel size -> the same field at 85 um a pixel, at which every network sees it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError, RequestError
from microcalc.images.image import LARGEST_PIXELS, PixelSize
from microcalc.images.pixel_size import LARGEST_PIXEL_MM, SMALLEST_PIXEL_MM

TRUE_PIXEL_MM = 0.085
"""Side of a pixel of the INFN patches, and so of every image that a network is given."""


def as_pixel_size(pixel_size_mm: float | PixelSize) -> PixelSize:
    """One number for square pixels, or (row, column), checked.

    Raises:
        RequestError: a pixel of a mammogram cannot have that size.

    >>> as_pixel_size(0.07)
    (0.07, 0.07)
    """
    sizes = (
        (pixel_size_mm, pixel_size_mm) if isinstance(pixel_size_mm, int | float | np.number) else tuple(pixel_size_mm)
    )
    if len(sizes) != 2 or not all(SMALLEST_PIXEL_MM <= size <= LARGEST_PIXEL_MM for size in sizes):
        raise RequestError(
            f"the pixel size must be {SMALLEST_PIXEL_MM} to {LARGEST_PIXEL_MM} mm: got {pixel_size_mm}; "
            "give it in millimetres, such as 0.07"
        )
    return float(sizes[0]), float(sizes[1])


def true_shape(shape: tuple[int, ...], pixel_size_mm: PixelSize) -> tuple[int, int]:
    """Rows and columns of a field at 85 um a pixel, to the nearest pixel.

    >>> true_shape((73, 51), (0.07, 0.1))
    (60, 60)
    """
    height, width = (round(n * size / TRUE_PIXEL_MM) for n, size in zip(shape, pixel_size_mm, strict=True))
    return height, width


def to_true_scale(pixels: NDArray[np.float32], pixel_size_mm: float | PixelSize) -> NDArray[np.float32]:
    """Resample an image to 85 um a pixel.

    Pillow's bicubic resampling (Keys 1981, a = -0.5), whose kernel widens with the reduction and so is anti-aliased; it
    takes other factors along rows than along columns, and floats. Of Pillow's filters it comes nearest to what pixels
    of 85 um would have recorded of a Gaussian spot of 0.1 mm (standard deviation) where that was sampled at 0.05 or
    0.07 mm: within 1 % of its peak, where Lanczos overshoots by 2 to 4 % and a triangle loses 7 %.

    The field keeps its edges: the result has :func:`true_shape`, and pixel ``i`` of ``m`` along an axis has its centre
    at ``(i + 0.5) * n / m - 0.5`` of the ``n`` original ones. Rounding ``m`` changes the scale by at most half a pixel
    in the field, 1 % of a patch.

    Args:
        pixels: (height, width) in [0, 1].
        pixel_size_mm: of the image; one number, or (row, column).

    Returns:
        Float32 in [0, 1]; ``pixels`` itself where nothing is to be done.

    Raises:
        RequestError: no such pixel size is possible.
        ImageError: the result would be too large or empty.

    >>> to_true_scale(np.ones((102, 51), np.float32), (0.05, 0.1)).shape
    (60, 60)
    """
    import PIL.Image

    height, width = true_shape(pixels.shape, as_pixel_size(pixel_size_mm))
    if (height, width) == pixels.shape:
        return pixels
    if not 0 < height * width <= LARGEST_PIXELS:
        raise ImageError(
            f"would have {height:,} x {width:,} pixels at {TRUE_PIXEL_MM} mm; check the pixel size of "
            f"{pixel_size_mm} mm"
        )
    picture: Any = PIL.Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    resampled = np.array(picture.resize((width, height), PIL.Image.Resampling.BICUBIC))
    return np.clip(resampled, 0, 1, out=resampled)
