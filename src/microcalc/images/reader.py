"""One image file of any kind, recognised by content, -> an :class:`~microcalc.images.image.Image`."""

import io
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from microcalc.errors import ImageError, TransientImageError
from microcalc.images.dicom import read_dicom
from microcalc.images.dicom_file import looks_like_dicom
from microcalc.images.image import Image, Mammogram
from microcalc.images.names import side_and_view
from microcalc.images.pictures import read_picture
from microcalc.images.silence import quiet

LARGEST_FILE = 2**30
"""Most bytes of a file."""

HEAD = 132
"""Bytes that show what a file is."""

Read = TypeVar("Read")
Source = str | os.PathLike[str] | bytes
"""A file, or all of its bytes."""


def read_image(path: Source) -> Image:
    """Read one grey image as a patch or a part of a mammogram: PGM, PNG, TIFF, JPEG or DICOM, recognised by content.

    Samples are scaled by what the file could hold, never by what it does hold, so that two files stay comparable. The
    exception is 16 bits without a word on how many are used: see :func:`microcalc.images.image.assumed_white`.

    - 8 bits: divided by 255; 16 bits: by 65,535, or what PNG's chunk sBIT gives; 12-bit TIFF: by 4,095; PGM: by its
      maxval; float TIFF: as it is, and refused unless all of it lies in [0, 1]. A TIFF whose 0 is white is inverted.
    - Colour whose channels are equal is read as grey, and refused otherwise, as is any transparent pixel.
    - DICOM: the Modality LUT (PS3.3 C.11.1) is applied, then the range that it could give, from Bits Stored and Pixel
      Representation, is mapped onto [0, 1]; a Rescale Slope and Intercept only shift and stretch that range, so no more
      than the slope's sign matters. MONOCHROME1 is inverted. VOI windows (C.11.2) are not applied: they suit a
      viewer, and clip.

    The pixel size comes from DICOM alone, see :func:`microcalc.images.pixel_size.pixel_size_mm`. Resolution tags of
    other formats describe a printer as often as a mammogram, and are not trusted.

    Raises:
        ImageError: one line that names the file, for whatever is not one readable grey image of at least
            ``SMALLEST_SIDE`` pixels a side and at most ``LARGEST_PIXELS`` in all. No element that identifies a
            patient appears in the line.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "patch.pgm"
    ...     _ = path.write_text("P2 60 60 255 " + 3600 * "51 ")
    ...     image = read_image(path)
    >>> image.pixels.shape, float(image.pixels[0, 0]), image.pixel_size_mm
    ((60, 60), 0.20000000298023224, None)
    """
    return _read(path, as_mammogram=False)


def read_mammogram(path: Source, name: str = "") -> Mammogram:
    """Read one whole mammogram, as a radiologist would see it.

    As :func:`read_image`, except for DICOM files:

    - For Presentation, and Secondary Capture: the VOI LUT or window that the file names is applied (PS3.3 C.11.2;
      LINEAR, LINEAR_EXACT or SIGMOID); the first, where there are several.
    - For Processing: brought to a presentation-like scale, by logarithm and inversion where Pixel Intensity
      Relationship requires them, between the 0.1 and 99.9 % quantiles; a warning states so.
    - Pixel padding is set to 0 and kept as a mask; patient, study, orientation and SOP class are kept as the file has
      them. So are side and view, which come from the name of the file where it does not hold them.
    - An image that its header does not call a mammogram has a warning; one of another kind (CT, a chest radiograph,
      tomosynthesis and other multi-frame objects) is refused.

    Args:
        path: the file, or all of its bytes.
        name: of the file, where its bytes are given or it has been renamed.

    Raises:
        ImageError: as for :func:`read_image`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "P12_LEFT_MLO.pgm"
    ...     _ = path.write_text("P2 60 60 255 " + 3600 * "51 ")
    ...     read_mammogram(path).view
    'MLO'
    """
    mammogram = _read(path, as_mammogram=True)
    side, view = side_and_view(name or ("" if isinstance(path, bytes) else os.fspath(path)))
    return replace(mammogram, side=mammogram.side or side, view=mammogram.view or view)


def file_kind(head: bytes) -> str | None:
    """Return the kind of a file by its first ``HEAD`` bytes: "DICOM", "PNG", "TIFF", "PGM", "JPEG", or None.

    >>> file_kind(bytes(128) + b"DICM"), file_kind(b"GIF89a")
    ('DICOM', None)
    """
    if head[128:132] == b"DICM":  # first, as its preamble may be the header of a TIFF (PS3.10 7.1)
        return "DICOM"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if re.match(rb"P[25][\s#]", head):
        return "PGM"
    return "DICOM" if looks_like_dicom(head) else None


def read_content(path: str | os.PathLike[str]) -> bytes:
    """Read all bytes of a file, once, for whoever needs its pixels, its header and its hash from the same state of it.

    Raises:
        ImageError: it cannot be read, or is no regular file of a size that an image has.
    """
    return _use(path, lambda file: file.read())


def _read(source: Source, as_mammogram: bool) -> Mammogram:
    def decode(file: BinaryIO) -> Mammogram:
        kind = file_kind(file.read(HEAD))
        file.seek(0)
        if kind is None:
            raise ImageError("has the first bytes of no PGM, PNG, TIFF, JPEG or DICOM image; convert it to PNG")
        with quiet():
            if kind == "DICOM":
                return read_dicom(file, as_mammogram)
            pixels, warnings = read_picture(file, kind)
            return Mammogram(pixels, None, warnings=warnings)

    return _use(source, decode)


def _use(source: Source, use: Callable[[BinaryIO], Read]) -> Read:
    name = "" if isinstance(source, bytes) else os.fspath(source)
    try:
        if isinstance(source, bytes):
            return use(io.BytesIO(source))
        _check_file(Path(source).stat())
        with Path(source).open("rb") as file:
            return use(file)
    except ImageError as error:
        error.file = name
        raise
    except FileNotFoundError as error:
        raise ImageError("does not exist; check its name and folder", name) from error
    except PermissionError as error:
        raise ImageError("may not be read by this user; change its permissions", name) from error
    except OSError as error:
        raise TransientImageError(f"cannot be read ({error.strerror}); check its name and the disk", name) from error


def _check_file(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("is a folder; name an image in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("is not a regular file; name an image file")
    if status.st_size == 0:
        raise ImageError("is empty; copy it again from where it came")
    if status.st_size > LARGEST_FILE:
        raise ImageError(f"has more than {LARGEST_FILE:,} bytes, too many for one image; cut out the part wanted")
