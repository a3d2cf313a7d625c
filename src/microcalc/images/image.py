"""An image or a mammogram once it is read, and how large it may be."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError

SMALLEST_SIDE = 8
"""Fewest rows, and columns, of an image: 0.7 mm at 85 um a pixel, too little to hold a cluster."""

LARGEST_PIXELS = 100_000_000
"""Most pixels of an image, checked before any is decoded; a mammogram at 50 um a pixel has about 30 million."""

WHITES = (1023, 4095, 16383)
"""Largest values of 10, 12 and 14 bits, which detectors and scanners give."""

PixelSize = tuple[float, float]
"""Distance in mm between the centres of neighbouring rows, and of neighbouring columns."""


@dataclass(frozen=True, eq=False)
class Image:
    """One image as the rest of microcalc sees it.

    Attributes:
        pixels: (height, width) float32 in [0, 1], 0 black and 1 white.
        pixel_size_mm: distance between the centres of neighbouring rows, and of neighbouring columns, in the plane of
            the breast; None where the file does not give it.
        warnings: what a user should know about the image, a sentence each without the file's name.
        sop_instance_uid: of a DICOM file, which names this image in all the world; None for other files.

    >>> Image(np.zeros((60, 60), np.float32), pixel_size_mm=(0.085, 0.085)).pixels.shape
    (60, 60)
    """

    pixels: NDArray[np.float32]
    pixel_size_mm: PixelSize | None
    warnings: tuple[str, ...] = field(default=(), kw_only=True)
    sop_instance_uid: str | None = field(default=None, kw_only=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.pixels.shape

    @cached_property
    def pixels_sha256(self) -> str:
        """SHA-256 of shape and pixels, in hexadecimal: files of another name or format with these pixels share it."""
        digest = hashlib.sha256(f"{self.pixels.shape} ".encode())
        digest.update(np.ascontiguousarray(self.pixels, "<f4").data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Mammogram(Image):
    """A whole mammogram, with what its DICOM file, or else the name of the file, gives of it; None where neither does.

    Attributes:
        padding: (height, width) bool, True where the file has no image (Pixel Padding Value); None where it does not
            say. ``pixels`` is 0 there.
        side: "L" or "R" (Image Laterality, or Laterality).
        view: "CC", "MLO" or another View Position of PS3.3 C.8.11.7.1.
        patient: Patient ID; of DICOM files alone.
        study: Study Instance UID; of DICOM files alone.
        orientation: directions in the patient in which the rows and the columns run, such as ("P", "F"), of PS3.3
            C.7.6.1.1.1 (Patient Orientation).
        sop_class: SOP Class UID.
        file_values: the values, after rescale, that became 0 and 1; None where the way from them is no straight line.
    """

    padding: NDArray[np.bool_] | None = None
    side: Literal["L", "R"] | None = None
    view: str | None = None
    patient: str | None = None
    study: str | None = None
    orientation: tuple[str, str] | None = None
    sop_class: str | None = None
    file_values: tuple[float, float] | None = None


def check_size(height: int, width: int) -> None:
    """Refuse an image before it is decoded.

    Raises:
        ImageError: it has a side below ``SMALLEST_SIDE`` or more than ``LARGEST_PIXELS`` pixels.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(f"has {height} x {width} pixels; give at least {SMALLEST_SIDE} x {SMALLEST_SIDE}")
    if height * width > LARGEST_PIXELS:
        raise ImageError(f"has {height:,} x {width:,} pixels; cut out at most {LARGEST_PIXELS:,} pixels of it")


def assumed_white(highest: int, warnings: list[str]) -> int:
    """Return the value that stands for white: the largest of the smallest depth that holds all values.

    Over 65,535, values of 10, 12 or 14 bits would fill 1/64, 1/16 or 1/4 of the grey scale, and a committee would see
    hardly any contrast.

    Args:
        highest: of the values.
        warnings: gets a sentence where that is another value than 65,535.

    >>> warnings = []
    >>> assumed_white(3900, warnings), assumed_white(65000, warnings)
    (4095, 65535)
    >>> warnings
    ['does not state how many of its 16 bits are used; all values fit into 12 bits, so 4,095 was taken for white']
    """
    for white in WHITES:
        if highest <= white:
            warnings.append(
                f"does not state how many of its 16 bits are used; all values fit into {white.bit_length()} bits, "
                f"so {white:,} was taken for white"
            )
            return white
    return 65535
