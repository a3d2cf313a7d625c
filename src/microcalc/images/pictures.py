"""PNG, TIFF, PGM and JPEG -> grey values in [0, 1], by Pillow."""

import importlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.image import LARGEST_PIXELS, check_size
from microcalc.images.pgm import read_pgm
from microcalc.images.silence import without_standard_error

_GREY_MODES = {"1": 255, "L": 255, "I;16": 65535, "I;16B": 65535, "I": 65535}
_COLOUR_MODES = frozenset({"P", "PA", "LA", "RGB", "RGBA", "RGBX"})
_SAVE_AS_GREY = "save it as an 8- or 16-bit grey PNG"


def read_picture(file: BinaryIO, kind: str) -> NDArray[np.float32]:
    """Read the grey values of an opened picture.

    Args:
        file: from its first byte on.
        kind: "PGM", or Pillow's name of the format: "PNG", "TIFF" or "JPEG".

    Raises:
        ImageError: it is damaged, too large, in colour or has transparent pixels; without the file's name.
    """
    if kind == "PGM":
        return read_pgm(file)
    import PIL.Image

    importlib.import_module(f"PIL.{kind.title()}ImagePlugin")  # or Pillow imports every format that it knows
    try:
        picture: Any = PIL.Image.open(file, formats=[kind])
        check_size(picture.height, picture.width)
        if getattr(picture, "is_animated", False):
            raise ImageError("holds several pages or frames; save the one wanted as a file of its own")
        if kind == "PNG" and picture.mode in _COLOUR_MODES and ";16" in picture.tile[0][3]:
            raise ImageError(f"is in 16-bit colour; {_SAVE_AS_GREY}")
        if kind == "TIFF":
            return _tiff_samples(picture)
        return _samples(_upright(picture) if kind == "JPEG" else picture)
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError:
        raise ImageError(f"has far too many pixels; cut out at most {LARGEST_PIXELS:,} pixels of it") from None
    except Exception as error:
        raise ImageError(
            f"is damaged, truncated or an unusual kind of {kind}; copy it again, or {_SAVE_AS_GREY}"
        ) from error


def _upright(picture: Any) -> Any:
    """A JPEG turned by its Exif orientation, as in viewers."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture)


def _over(samples: NDArray[Any], largest: int) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = np.divide(samples, largest, dtype=np.float32)
    return scaled


def _samples(picture: Any) -> NDArray[np.float32]:
    """The samples of a Pillow image over the largest value of their kind, as (height, width)."""
    if picture.mode in _GREY_MODES and "transparency" not in picture.info:
        grey = picture.convert("L") if picture.mode == "1" else picture
        return _over(np.asarray(grey), _GREY_MODES[picture.mode])
    if picture.mode in _COLOUR_MODES | {"1", "L"}:
        return _over(_grey_of_colour(picture), 255)
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
        raise ImageError("is a damaged TIFF, whose strips do not fill it; copy it again from where it came")


def _tiff_samples(picture: Any) -> NDArray[np.float32]:
    from PIL import TiffImagePlugin as Tiff

    _check_tiff(picture)
    if picture.tile[0][0] == "libtiff":
        with without_standard_error():
            picture.load()
    if picture.mode == "F":
        samples = np.array(picture)
        if not (samples.min() >= 0 and samples.max() <= 1):
            raise ImageError("holds values that are not numbers or lie outside [0, 1]; scale it to [0, 1]")
    elif picture.tag_v2.get(Tiff.BITSPERSAMPLE) == (12,):
        samples = _over(np.asarray(picture), 4095)
    else:
        samples = _samples(picture)
    pillow_inverts = picture.mode in ("1", "L")
    return 1 - samples if picture.tag_v2[Tiff.PHOTOMETRIC_INTERPRETATION] == 0 and not pillow_inverts else samples
