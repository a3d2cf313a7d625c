"""One image file (PGM, PNG, TIFF, DICOM) -> one float32 array in [0, 1] and its pixel spacing."""

import importlib
import logging
import math
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError, RequestError

IMAGE_SUFFIXES = frozenset({".pgm", ".png", ".tif", ".tiff", ".dcm", ".dicom"})
"""Lower-case suffixes by which :func:`list_images` knows an image; :func:`read_image` goes by content instead."""

SMALLEST_SIDE = 8
"""Fewest rows, and columns, of an image: 0.7 mm at 85 um a pixel, too little to hold a cluster."""

LARGEST_PIXELS = 100_000_000
"""Most pixels of an image, checked before any is decoded; a mammogram at 50 um a pixel has about 30 million."""

LARGEST_FILE = 2**30
"""Most bytes of a file."""

_GREY_MODES = {"1": 255, "L": 255, "I;16": 65535, "I;16B": 65535, "I": 65535}
_COLOUR_MODES = frozenset({"P", "PA", "LA", "RGB", "RGBA", "RGBX"})
_DICOM_ELEMENTS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("PixelSpacing", "ImagerPixelSpacing", "EstimatedRadiographicMagnificationFactor"),
]
_SAVE_AS_GREY = "save it as an 8- or 16-bit grey PNG"
_one_reader = threading.Lock()


@dataclass(frozen=True, eq=False)
class Image:
    """One image as the rest of microcalc sees it.

    ``pixels`` is (height, width) float32 in [0, 1], 0 black and 1 white; ``spacing_mm`` is the distance in mm between
    the centres of neighbouring rows and of neighbouring columns, or None where the file does not tell it.

    >>> Image(np.zeros((60, 60), np.float32), spacing_mm=(0.085, 0.085)).pixels.shape
    (60, 60)
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read one grey image: PGM, PNG, TIFF or DICOM, told apart by content and not by name.

    Samples are scaled by what the file could hold, never by what it does hold, so that two files stay comparable:

    - 8 bits: divided by 255; 16 bits: by 65,535; 12-bit TIFF: by 4,095; PGM: by its maxval; float TIFF: as it is,
      and refused unless all of it lies in [0, 1]. A TIFF whose 0 is white is inverted.
    - Colour whose channels are equal is read as grey, and refused otherwise, as is any transparent pixel.
    - DICOM: the Modality LUT (PS3.3 C.11.1) is applied, then the range that it could give, from Bits Stored and Pixel
      Representation, is mapped onto [0, 1]; a Rescale Slope and Intercept only shift and stretch that range, so no more
      than the slope's sign matters. MONOCHROME1 is inverted. VOI windows (C.11.2) are not applied: they suit a
      viewer, and clip.

    The spacing comes from DICOM alone: Pixel Spacing where it is calibrated; otherwise Imager Pixel Spacing over the
    Estimated Radiographic Magnification Factor (PS3.3 10.7.1). Resolution tags of other formats describe a printer as
    often as a mammogram, and are not trusted.

    Raises :class:`~microcalc.errors.ImageError`, one line that names the file, for whatever is not one readable grey
    image of at least ``SMALLEST_SIDE`` pixels a side and at most ``LARGEST_PIXELS`` in all. No element that
    identifies a patient is ever read from a DICOM file, so none can appear in the line.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "patch.pgm"
    ...     _ = path.write_text("P2 60 60 255 " + 3600 * "51 ")
    ...     image = read_image(path)
    >>> image.pixels.shape, float(image.pixels[0, 0]), image.spacing_mm
    ((60, 60), 0.20000000298023224, None)
    """
    name = os.fspath(path)
    try:
        _check_file(Path(path).stat())
        with Path(path).open("rb") as file:
            kind = _kind(file.read(132))
            file.seek(0)
            if kind == "DICOM":
                with _quiet("pydicom"):
                    return _read_dicom(file)
            with _quiet("PIL"):
                return Image(_read_picture(file, kind), spacing_mm=None)
    except ImageError as error:
        problem, cause = str(error), error.__cause__
    except FileNotFoundError as error:
        problem, cause = "does not exist; check its name and folder", error
    except PermissionError as error:
        problem, cause = "may not be read by this user; change its permissions", error
    except OSError as error:
        problem, cause = f"cannot be read ({error.strerror}); check its name and the disk", error
    raise ImageError(f"{name if name.isprintable() else ascii(name)}: {problem}") from cause


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The images of a folder by suffix (``IMAGE_SUFFIXES``, in either case), sorted by name; subfolders are left alone.

    Hidden files are left out, and so are DICOM files without suffix, which :func:`read_image` can read all the same.
    Raises :class:`~microcalc.errors.RequestError` where the folder cannot be listed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("b.PNG", "a.dcm", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in list_images(folder)]
    ['a.dcm', 'b.PNG']
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.is_dir()]
    except OSError as error:
        raise RequestError(f"{folder}: cannot be listed ({error.strerror}); name a folder of images") from error
    return [
        Path(folder, name)
        for name in sorted(names)
        if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES
    ]


def _check_file(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("is a folder; name an image in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("is not a regular file; name an image file")
    if status.st_size == 0:
        raise ImageError("is empty; copy it again from where it came")
    if status.st_size > LARGEST_FILE:
        raise ImageError(f"has more than {LARGEST_FILE:,} bytes, too many for one image; cut out the part wanted")


def _kind(head: bytes) -> str:
    """What the first 132 bytes say the file is: "DICOM", or the name of a Pillow format."""
    if head[128:] == b"DICM":
        return "DICOM"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if re.match(rb"P[25][\s#]", head):
        return "PPM"
    raise ImageError("is not a PGM, PNG, TIFF or DICOM image, going by its first bytes; convert it to PNG")


def _check_size(height: int, width: int) -> None:
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(f"has {height} x {width} pixels; give at least {SMALLEST_SIDE} x {SMALLEST_SIDE}")
    if height * width > LARGEST_PIXELS:
        raise ImageError(f"has {height:,} x {width:,} pixels; cut out at most {LARGEST_PIXELS:,} pixels of it")


@contextmanager
def _quiet(library: str) -> Iterator[None]:
    """Keep what a library warns of and logs from the terminal, one reader at a time as both are global to Python."""
    logger, nowhere = logging.getLogger(library), logging.NullHandler()
    with _one_reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        propagates = logger.propagate
        logger.addHandler(nowhere)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(nowhere)
            logger.propagate = propagates


@contextmanager
def _without_standard_error() -> Iterator[None]:
    """Send file descriptor 2 nowhere: libtiff, which is C, writes its complaints straight to it."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _read_picture(file: BinaryIO, kind: str) -> NDArray[np.float32]:
    import PIL.Image

    importlib.import_module(f"PIL.{kind.title()}ImagePlugin")  # or Pillow imports every format that it knows
    try:
        picture: Any = PIL.Image.open(file, formats=[kind])
        _check_size(picture.height, picture.width)
        if getattr(picture, "is_animated", False):
            raise ImageError("holds several pages or frames; save the one wanted as a file of its own")
        if kind == "PNG" and picture.mode in _COLOUR_MODES and ";16" in picture.tile[0][3]:
            raise ImageError(f"is in 16-bit colour; {_SAVE_AS_GREY}")
        if kind == "TIFF":
            return _tiff_samples(picture)
        if kind == "PPM" and picture.tile[0][0] == "ppm":
            return _pgm_samples(picture, file)
        return _samples(picture)
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError:
        raise ImageError(f"has far too many pixels; cut out at most {LARGEST_PIXELS:,} pixels of it") from None
    except Exception as error:
        kind = {"PPM": "PGM"}.get(kind, kind)
        raise ImageError(
            f"is damaged, truncated or an unusual kind of {kind}; copy it again, or {_SAVE_AS_GREY}"
        ) from error


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


def _pgm_samples(picture: Any, file: BinaryIO) -> NDArray[np.float32]:
    """The samples of a binary PGM over its maxval: Pillow itself rounds them, and takes seconds a mammogram."""
    _, _, offset, (_, maxval) = picture.tile[0]
    sample = np.dtype(">u2" if maxval > 255 else "u1")
    count = picture.height * picture.width
    file.seek(offset)
    samples = np.frombuffer(file.read(count * sample.itemsize), sample, count)
    if samples.max() > maxval:
        raise ImageError(f"holds samples above its own maxval of {maxval}; {_SAVE_AS_GREY}")
    return _over(samples, maxval).reshape(picture.height, picture.width)


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
        with _without_standard_error():
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


def _read_dicom(file: BinaryIO) -> Image:
    import pydicom

    try:
        syntax = pydicom.filereader.read_file_meta_info(file.name).get("TransferSyntaxUID")
        if syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
            raise ImageError("is deflated, which could unpack without bound; write it undeflated: dcmconv +te")
        dataset = pydicom.dcmread(file, specific_tags=_DICOM_ELEMENTS)
        _check_dicom(dataset)
        return Image(_dicom_samples(dataset, _dicom_pixels(dataset)), _dicom_spacing_mm(dataset))
    except ImageError:
        raise
    except Exception:  # its text may quote the file, and with it the patient
        raise ImageError("is a damaged or truncated DICOM file; copy it again from where it came") from None


def _check_dicom(dataset: Any) -> None:
    if "PixelData" not in dataset:
        raise ImageError("is a DICOM file without pixels (a report, or cut short); name one that holds an image")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageError("is a multi-frame DICOM file; export the frame wanted as a file of its own")
    if dataset.SamplesPerPixel != 1 or dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError("is a DICOM file in colour; export it as MONOCHROME2")
    _check_size(dataset.Rows, dataset.Columns)


def _dicom_pixels(dataset: Any) -> NDArray[Any]:
    """The stored values, (rows, columns), after making sure that they can be decoded, and to no more than they say."""
    from pydicom import encaps, pixels, uid

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = pixels.get_decoder(syntax)
    except NotImplementedError:
        raise ImageError("is in a DICOM transfer syntax that is not read; decompress it: gdcmconv --raw") from None
    jpeg_2000 = "JPEG 2000" in syntax.name
    if not decoder.is_available:
        package = "pylibjpeg-openjpeg" if jpeg_2000 else "pylibjpeg-libjpeg"
        raise ImageError(f"is compressed as {syntax.name}; install a decoder of it: pip install pylibjpeg {package}")
    if jpeg_2000:
        _check_jpeg_2000(encaps.get_frame(dataset.PixelData, 0, number_of_frames=1), dataset.Rows, dataset.Columns)
    plugin = "pydicom" if syntax == uid.RLELossless else ""  # pylibjpeg-rle, if there, panics on damaged data
    try:
        values: NDArray[Any] = pixels.pixel_array(dataset, index=0, decoding_plugin=plugin)
    except RuntimeError:
        raise ImageError(
            f"has {syntax.name} pixels that cannot be decoded; copy it again, or decompress it: gdcmconv --raw"
        ) from None
    return values


def _check_jpeg_2000(codestream: bytes, rows: int, columns: int) -> None:
    """Refuse a codestream larger than its image, which OpenJPEG would make room for (ITU-T T.800 A.5.1)."""
    marker, width, height, left, top, components = struct.unpack_from(">I4xIIII16xH", codestream)
    if (marker, height - top, width - left, components) != (0xFF4FFF51, rows, columns, 1):
        raise ImageError("holds a JPEG 2000 image of another size than the file says; copy it again")


def _dicom_samples(dataset: Any, stored: NDArray[Any]) -> NDArray[np.float32]:
    """The stored values after the Modality LUT, over the range that this could give; white is 1."""
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        stored = apply_modality_lut(stored, dataset)
        lowest, highest, falls = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1, False
    else:
        lowest = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
        highest = lowest + 2**dataset.BitsStored - 1
        falls = float(dataset.get("RescaleSlope") or 1) < 0
    if stored.min() < lowest or stored.max() > highest:
        raise ImageError(f"holds values outside the {dataset.BitsStored} bits that it says; copy it again")
    samples: NDArray[np.float32] = np.subtract(stored, lowest, dtype=np.float32)
    samples /= np.float32(highest - lowest)
    if falls != (dataset.PhotometricInterpretation == "MONOCHROME1"):
        np.subtract(1, samples, out=samples)
    return samples


def _dicom_spacing_mm(dataset: Any) -> tuple[float, float] | None:
    try:
        in_patient = _lengths_mm(dataset.get("PixelSpacing"))
        at_detector = _lengths_mm(dataset.get("ImagerPixelSpacing"))
        magnification = float(dataset.get("EstimatedRadiographicMagnificationFactor") or 1)
    except (TypeError, ValueError):
        return None
    if in_patient and in_patient != at_detector:
        return in_patient
    if at_detector and 1 <= magnification < math.inf:
        return at_detector[0] / magnification, at_detector[1] / magnification
    return None


def _lengths_mm(element: Any) -> tuple[float, float] | None:
    """Row and column spacing, where both are lengths that a pixel can have: 1 um to 10 mm."""
    between_rows, between_columns = [float(value) for value in element or (0, 0)]
    if 0.001 <= between_rows <= 10 and 0.001 <= between_columns <= 10:
        return between_rows, between_columns
    return None
