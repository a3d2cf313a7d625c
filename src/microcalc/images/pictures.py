"""PNG, TIFF, PGM and JPEG -> grey values in [0, 1], by Pillow; and a picture -> a PNG or JPEG file."""

import importlib
import io
import re
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.image import LARGEST_PIXELS, assumed_white, check_size
from microcalc.images.silence import without_standard_error

_GREY_MODES = {"1": 255, "L": 255, "I;16": None, "I;16B": None, "I": None}
_COLOUR_MODES = frozenset({"P", "PA", "LA", "RGB", "RGBA", "RGBX"})
Encoding = Literal["jpg", "png"]

_HEADER_BYTES = 65536
_COPY = "copy it again from where it came"
_SAVE_AS_GREY = "save it as an 8- or 16-bit grey PNG"

Samples = tuple[NDArray[Any], int | None]
"""(height, width) of any number type, and the value that stands for white; None where the file does not state it."""


def read_picture(file: BinaryIO, kind: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read the grey values of an opened picture.

    Args:
        file: from its first byte on.
        kind: "PGM", "PNG", "TIFF" or "JPEG".

    Returns:
        (height, width) in [0, 1], and warnings.

    Raises:
        ImageError: it is damaged, too large, in colour or has transparent pixels; without the file's name.
    """
    import PIL.Image

    name = "PPM" if kind == "PGM" else kind
    importlib.import_module(f"PIL.{name.title()}ImagePlugin")  # or Pillow imports every format that it knows
    warnings: list[str] = []
    try:
        picture: Any = PIL.Image.open(file, formats=[name])
        check_size(picture.height, picture.width)
        if getattr(picture, "is_animated", False):
            raise ImageError("holds several pages or frames; save the one wanted as a file of its own")
        samples, white = _READERS[kind](picture, file)
        if white is None:
            white = assumed_white(int(samples.max()), warnings)
        scaled: NDArray[np.float32] = np.divide(samples, white, dtype=np.float32)
        dark_is_white = kind == "TIFF" and _white_is_zero(picture)
        return 1 - scaled if dark_is_white else scaled, tuple(warnings)
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError:
        raise ImageError(f"has far too many pixels; cut out at most {LARGEST_PIXELS:,} pixels of it") from None
    except Exception as error:
        raise ImageError(
            f"is damaged, truncated or an unusual kind of {kind}; copy it again, or {_SAVE_AS_GREY}"
        ) from error


def _jpeg_samples(picture: Any, file: BinaryIO) -> Samples:
    """Turn a JPEG by its Exif orientation, as viewers do."""
    from PIL import ImageOps

    return _samples(ImageOps.exif_transpose(picture))


def _png_samples(picture: Any, file: BinaryIO) -> Samples:
    """Read a PNG; its chunk sBIT states how many bits are used (PNG 3rd edition, 11.3.2.7)."""
    if picture.mode in _COLOUR_MODES and ";16" in picture.tile[0][3]:
        raise ImageError(f"is in 16-bit colour; {_SAVE_AS_GREY}")
    samples, white = _samples(picture)
    file.seek(0)
    stated = re.search(rb"\x00\x01sBIT([\x08-\x10])", file.read(_HEADER_BYTES).partition(b"IDAT")[0])
    if white is None and stated:
        white = 2 ** stated[1][0] - 1
        if samples.max() > white:  # scaled up to all 16 bits, as the standard has it
            white = 65535
    return samples, white


def _pgm_samples(picture: Any, file: BinaryIO) -> Samples:
    """Read a PGM over its own maxval; binary ones not by Pillow, which takes ten seconds where maxval is unusual."""
    decoder, _, offset, arguments = picture.tile[0]
    maxval = arguments[-1] if isinstance(arguments, tuple) else 255 if arguments == "L" else 65535
    if decoder == "ppm_plain":
        samples = np.asarray(picture)
        return samples, None if maxval == 65535 else 255 if picture.mode == "L" else 65535
    file.seek(offset)
    content, sample = file.read(), np.dtype(">u2" if maxval > 255 else "u1")
    expected = picture.height * picture.width * sample.itemsize
    if len(content) != expected:
        raise ImageError(f"is a damaged PGM: it holds {len(content):,} bytes of samples, not {expected:,}; {_COPY}")
    samples = np.frombuffer(content, sample).reshape(picture.height, picture.width)
    if samples.max() > maxval:
        raise ImageError(f"holds samples above its own maxval of {maxval}; {_COPY}")
    return samples, None if maxval == 65535 else maxval


def _samples(picture: Any) -> Samples:
    if picture.mode in _GREY_MODES and "transparency" not in picture.info:
        return np.asarray(picture.convert("L") if picture.mode == "1" else picture), _GREY_MODES[picture.mode]
    if picture.mode in _COLOUR_MODES | {"1", "L"}:
        return _grey_of_colour(picture), 255
    raise ImageError(f"is in colour or has a transparent grey; {_SAVE_AS_GREY}")


def _grey_of_colour(picture: Any) -> NDArray[np.uint8]:
    channels: NDArray[np.uint8] = np.asarray(picture.convert("RGBA"))
    red, green, blue, alpha = (channels[..., channel] for channel in range(4))
    if np.any(alpha != 255):
        raise ImageError(f"has transparent pixels; {_SAVE_AS_GREY}")
    if np.any(red != green) or np.any(red != blue):
        raise ImageError(f"is in colour; {_SAVE_AS_GREY}")
    return red


def _check_tiff(picture: Any) -> None:
    from PIL import TiffImagePlugin as Tiff

    tags = picture.tag_v2
    if tags.get(Tiff.TILEWIDTH, 1) * tags.get(Tiff.TILELENGTH, 1) > LARGEST_PIXELS:
        raise ImageError(f"is stored in tiles of more than {LARGEST_PIXELS:,} pixels; {_SAVE_AS_GREY}")
    if Tiff.PHOTOMETRIC_INTERPRETATION not in tags:
        raise ImageError(f"does not say whether its 0 is black or white; {_SAVE_AS_GREY}")
    signed = 2 in tags.get(Tiff.SAMPLEFORMAT, ())
    if picture.mode == "I" or signed:
        raise ImageError(f"has signed or 32-bit integer samples; {_SAVE_AS_GREY}")
    bits = tags.get(Tiff.BITSPERSAMPLE, (1,))
    if tags.get(Tiff.PLANAR_CONFIGURATION, 1) != 1 or (len(bits) > 1 and max(bits) > 8):
        raise ImageError(f"is in 16-bit colour or in separate planes; {_SAVE_AS_GREY}")
    covered = sum((right - left) * (lower - upper) for _, (left, upper, right, lower), *_ in picture.tile)
    if covered < picture.height * picture.width:  # Pillow would leave the rest black
        raise ImageError(f"is a damaged TIFF, whose strips do not fill it; {_COPY}")


def _tiff_samples(picture: Any, file: BinaryIO) -> Samples:
    from PIL import TiffImagePlugin as Tiff

    _check_tiff(picture)
    if picture.tile[0][0] == "libtiff":
        with without_standard_error():
            picture.load()
    if picture.mode != "F":
        samples, white = _samples(picture)
        return samples, 4095 if picture.tag_v2.get(Tiff.BITSPERSAMPLE) == (12,) else white
    samples = np.array(picture)
    if not (samples.min() >= 0 and samples.max() <= 1):
        raise ImageError("holds values that are not numbers or lie outside [0, 1]; scale it to [0, 1]")
    return samples, 1


def _white_is_zero(picture: Any) -> bool:
    """Whether 0 is white in a TIFF and Pillow has not turned that round, as it does up to 8 bits."""
    from PIL import TiffImagePlugin as Tiff

    return picture.tag_v2[Tiff.PHOTOMETRIC_INTERPRETATION] == 0 and picture.mode not in ("1", "L")


_READERS = {"PGM": _pgm_samples, "PNG": _png_samples, "TIFF": _tiff_samples, "JPEG": _jpeg_samples}


def encode(picture: NDArray[np.uint8], encoding: Encoding = "png") -> bytes:
    """Return (rows, columns) grey, or (rows, columns, 3 or 4) in colour, as a PNG or JPEG file.

    >>> encode(np.zeros((8, 8), np.uint8))[1:4]
    b'PNG'
    """
    import PIL.Image

    written = io.BytesIO()
    options = {"quality": 92} if encoding == "jpg" else {"compress_level": 1}
    PIL.Image.fromarray(picture).save(written, "JPEG" if encoding == "jpg" else "PNG", **options)
    return written.getvalue()
