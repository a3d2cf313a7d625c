"""The pixels of a DICOM dataset, compressed or not -> the values that it stores."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.silence import without_standard_error

_DECOMPRESS = "decompress it: gdcmconv --raw"
_COPY = "copy it again from where it came"
_SOC_AND_SIZ = b"\xff\x4f\xff\x51"


def stored_range(dataset: Any) -> tuple[int, int]:
    """Return the lowest and the highest value that Bits Stored and Pixel Representation allow."""
    lowest = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
    return lowest, lowest + 2**dataset.BitsStored - 1


def stored_values(dataset: Any) -> NDArray[np.int32]:
    """Return the stored values, (rows, columns), within :func:`stored_range`.

    Make sure first that they can be decoded, and to no more than the header states. High Bit counts (PS3.5 8.1.1).

    Raises:
        ImageError: the pixels cannot be decoded, or do not fit what the header states of them.
    """
    allocated, stored = dataset.BitsAllocated, dataset.BitsStored
    high = dataset.get("HighBit")
    high = stored - 1 if high in (None, "") else high
    if stored > 16 or allocated not in (1, 8, 16, 32):
        raise ImageError(f"has {stored} of {allocated} bits a pixel; export it with 8 or 16 bits allocated")
    if not 1 <= stored <= high + 1 <= allocated:
        raise ImageError(
            f"states Bits Allocated {allocated}, Bits Stored {stored} and High Bit {high}, which do not fit together; "
            "correct them"
        )
    words = _decoded(dataset)
    return _without_other_bits(words, stored, high, bool(dataset.PixelRepresentation))


def _without_other_bits(words: NDArray[Any], stored: int, high: int, signed: bool) -> NDArray[np.int32]:
    """Return the ``stored`` bits up to ``high``; all others must be 0, or above it copies of the sign."""
    words = words.astype(words.dtype.newbyteorder("="), copy=False).view(np.dtype(f"u{words.dtype.itemsize}"))
    lowest = high + 1 - stored
    if lowest and (words & ((1 << lowest) - 1)).any():
        raise ImageError(
            f"states that its values lie in bits {lowest} to {high} (High Bit, Bits Stored), yet holds others below; "
            "correct them"
        )
    shifted = words >> lowest
    values: NDArray[np.int32] = (shifted & ((1 << stored) - 1)).astype(np.int32)
    above = shifted >> stored
    if signed:
        values -= (values >> (stored - 1)) << stored
    if above.any() and not (signed and _are_copies_of_the_sign(above, values, words.itemsize * 8 - high - 1)):
        raise ImageError(f"holds values outside the {stored} bits that it states; {_COPY}")
    return values


def _are_copies_of_the_sign(above: NDArray[Any], values: NDArray[np.int32], bits: int) -> bool:
    return bool(np.array_equal(above, np.where(values < 0, (1 << bits) - 1, 0)))


def _decoded(dataset: Any) -> NDArray[Any]:
    from pydicom import encaps, pixels, uid

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = pixels.get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(f"is in a DICOM transfer syntax that is not read; {_DECOMPRESS}") from None
    if not syntax.is_encapsulated:
        _check_length(dataset)
        return _array(dataset, "")
    if not decoder.is_available:
        raise ImageError(f"is compressed as {syntax.name}, whose decoder is not installed; install microcalc again")
    if syntax != uid.RLELossless:
        frame = encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        if "JPEG 2000" in syntax.name:
            frame = frame[max(frame.find(_SOC_AND_SIZ), 0) :]  # not all in a JP2 file, which DICOM does not allow
            _check_jpeg_2000(frame, dataset.Rows, dataset.Columns)
            dataset.PixelData = encaps.encapsulate([frame])
        else:
            _check_jpeg(frame, dataset.Rows, dataset.Columns)
    try:
        with without_standard_error():
            return _array(dataset, _plugin(decoder))
    except (RuntimeError, ValueError):
        raise ImageError(f"has {syntax.name} pixels that cannot be decoded; {_COPY}, or {_DECOMPRESS}") from None


def _plugin(decoder: Any) -> str:
    """Return pyjpegls or pylibjpeg before GDCM, which alone reads lossless JPEG."""
    return next((name for name in ("pyjpegls", "pylibjpeg", "gdcm") if name in decoder.available_plugins), "")


def _array(dataset: Any, plugin: str) -> NDArray[Any]:
    from pydicom import pixels

    options: Any = {"index": 0, "correct_unused_bits": False, "raw": True}
    try:
        return np.asarray(pixels.pixel_array(dataset, decoding_plugin=plugin, **options))
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, by pylibjpeg-rle where a run is too long
            raise
        return np.asarray(pixels.pixel_array(dataset, decoding_plugin="pydicom", **options))


def _check_length(dataset: Any) -> None:
    expected = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if len(dataset.PixelData) < expected:
        raise ImageError(
            f"is a truncated DICOM file: {len(dataset.PixelData):,} of {expected:,} bytes of pixels; {_COPY}"
        )


def _check_jpeg_2000(codestream: bytes, rows: int, columns: int) -> None:
    """Refuse a codestream larger than its image, which OpenJPEG would make room for (ITU-T T.800 A.5.1)."""
    marker, width, height, left, top, components = struct.unpack_from(">4s4xIIII16xH", codestream)
    if (marker, height - top, width - left, components) != (_SOC_AND_SIZ, rows, columns, 1):
        raise ImageError("holds a JPEG 2000 image of another size than the file states; copy it again")


def _check_jpeg(stream: bytes, rows: int, columns: int) -> None:
    """Refuse a JPEG or JPEG-LS stream of another size than its image (frame header, ITU-T T.81 B.2.2, T.87 C.2.2)."""
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 10 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0xF7, *range(0xC0, 0xD0)) and marker not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack_from(">HHB", stream, at + 5)
            if (height, width, components) != (rows, columns, 1):
                raise ImageError("holds a JPEG image of another size than the file states; copy it again")
            return
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    raise ImageError(f"holds compressed pixels that cannot be decoded, as they are no JPEG; {_COPY}, or {_DECOMPRESS}")
