"""The value that a DICOM file stores -> a grey value in [0, 1], as one table for all that it could store."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.dicom_file import numbers
from microcalc.images.image import assumed_white

QUANTILES = (0.001, 0.999)
"""Percentiles of an image For Processing that become 0 and 1: a few dead or saturated pixels must not set the scale."""

Table = NDArray[np.float64]
Shown = Callable[[], NDArray[np.int32]]
"""Gives, for each pixel that is not padding, the place of its value in the table of all that could be stored."""


def patch_greys(dataset: Any, stored: NDArray[np.int32], shown: Shown, warnings: list[str]) -> Table:
    """Return grey values by the range that the file could hold; arguments as for :func:`mammogram_greys`.

    See :func:`microcalc.images.reader.read_image`. Modality LUT, rescale and photometric interpretation count.
    """
    if dataset.get("ModalityLUTSequence"):
        greys, falls = _looked_up(stored, dataset.ModalityLUTSequence[0], dataset), False
    else:
        black, white = _range(dataset, stored, shown, warnings)
        greys, falls = np.clip((stored - black) / (white - black), 0, 1), rescale(dataset)[0] < 0
    return 1 - greys if falls != (dataset.PhotometricInterpretation == "MONOCHROME1") else greys


def _range(dataset: Any, stored: NDArray[np.int32], shown: Shown, warnings: list[str]) -> tuple[int, int]:
    """Return the values that stand for the ends of the grey scale: of Bits Stored, unless these are all 16."""
    places = shown() if dataset.BitsStored == 16 else stored[:0]
    if not places.size:
        return int(stored[0]), int(stored[-1])
    lowest, highest = int(stored[places.min()]), int(stored[places.max()])
    if lowest >= 0:
        white = assumed_white(highest, warnings)
        return (0, white) if white < 65535 else (int(stored[0]), int(stored[-1]))
    white = assumed_white(2 * max(highest, -lowest - 1) + 1, warnings)
    return -(white + 1) // 2, white // 2


def mammogram_greys(dataset: Any, stored: NDArray[np.int32], shown: Shown, warnings: list[str]) -> Table:
    """Return grey values as a viewer would show them; see :func:`microcalc.images.reader.read_mammogram`.

    Args:
        dataset: its rescale, VOI, photometric interpretation, and pixel intensity relationship count.
        stored: (n,) every value that it could store, rising.
        shown: see :data:`Shown`.
        warnings: new warnings are added to it.
    """
    if is_for_processing(dataset):
        return _presentation_like(
            dataset, _rescaled(dataset, stored), np.bincount(shown().ravel(), minlength=len(stored)), warnings
        )
    if dataset.get("VOILUTSequence"):
        values = np.rint(_rescaled(dataset, stored)).astype(np.int64)
        greys = _looked_up(values, dataset.VOILUTSequence[0], dataset)
    else:
        windowed = _windowed(dataset, _rescaled(dataset, stored), warnings)
        if windowed is None:
            return patch_greys(dataset, stored, shown, warnings)
        greys = windowed
    return 1 - greys if dataset.PhotometricInterpretation == "MONOCHROME1" else greys


def is_for_processing(dataset: Any) -> bool:
    """Whether the values are the detector's, not yet meant to be looked at (PS3.3 C.8.11.7.1)."""
    from pydicom.uid import DigitalMammographyXRayImageStorageForProcessing

    intent = str(dataset.get("PresentationIntentType") or "").strip().upper()
    return intent == "FOR PROCESSING" or dataset.get("SOPClassUID") == DigitalMammographyXRayImageStorageForProcessing


def rescale(dataset: Any) -> tuple[float, float]:
    """Return Rescale Slope and Rescale Intercept (PS3.3 C.11.1)."""
    (slope, *_) = numbers(dataset, "RescaleSlope") or (1.0,)
    (intercept, *_) = numbers(dataset, "RescaleIntercept") or (0.0,)
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise ImageError(f"has a Rescale Slope of {slope:g}, which makes all pixels alike; export it again")
    return slope, intercept


def _rescaled(dataset: Any, stored: NDArray[np.int32]) -> Table:
    """Return the values after the Modality LUT (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        item = dataset.ModalityLUTSequence[0]
        return np.asarray(_looked_up(stored, item, dataset) * (2 ** _descriptor(item, dataset)[2] - 1))
    slope, intercept = rescale(dataset)
    return np.asarray(stored * slope + intercept)


def _descriptor(item: Any, dataset: Any) -> tuple[int, int, int]:
    """Number of entries, first value mapped and bits of an entry (PS3.3 C.11.1.1); any of 8 to 16 bits is read."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    if dataset.PixelRepresentation and first > 32767:
        first -= 65536
    if not 8 <= bits <= 16:
        raise ImageError(f"has a look-up table of {bits} bits, and not 8 to 16; export it without")
    return entries or 65536, first, bits


def _looked_up(values: NDArray[Any], item: Any, dataset: Any) -> Table:
    """A LUT over its own range, 0 to 1. Entries are words, or bytes where there are only as many bytes (packed)."""
    entries, first, bits = _descriptor(item, dataset)
    data = item.LUTData
    if isinstance(data, bytes):
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        table = np.frombuffer(data, "<u2" if little else ">u2")
        if entries > 1 and len(data) - entries in (0, 1):
            table = table.astype("<u2").view(np.uint8)
    else:
        table = np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
    if len(table) < entries:
        raise ImageError(f"has a look-up table of {len(table)} entries, and not {entries} as stated; export it again")
    table = table[:entries]
    if table.max() >= 2**bits:
        raise ImageError(f"has a look-up table with entries above its {bits} bits; export it again")
    return np.asarray(table[np.clip(values.astype(np.int64) - first, 0, entries - 1)] / (2**bits - 1))


def _windowed(dataset: Any, values: Table, warnings: list[str]) -> Table | None:
    """Apply the first window of the file (PS3.3 C.11.2.1.2 and C.11.2.1.3); None where it has none that can be used."""
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not centers or not widths:
        return None
    center, width = centers[0], widths[0]
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ImageError(f"requires the VOI LUT Function {function[:20]!a}, which is not in the standard; correct it")
    if not width > 0 or (function == "LINEAR" and width < 1) or not np.isfinite([center, width]).all():
        warnings.append(f"the window of width {width:g} is impossible and was ignored")
        return None
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return np.asarray(values > center, np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _presentation_like(dataset: Any, values: Table, counts: NDArray[np.int64], warnings: list[str]) -> Table:
    """Dense tissue bright, in logarithm of the X-ray intensity: what display processing starts from.

    Pixel Intensity Relationship and its Sign (PS3.3 C.8.11.3.1.2) say what the values are; without them they are taken
    for linear in the intensity, and rising with it where MONOCHROME1 shows low values bright.
    """
    logarithmic = str(dataset.get("PixelIntensityRelationship") or "").strip().upper() == "LOG"
    sign = numbers(dataset, "PixelIntensityRelationshipSign")
    rises = sign[0] > 0 if sign else dataset.PhotometricInterpretation == "MONOCHROME1" or not logarithmic
    if logarithmic:
        density = -values if rises else values
    else:
        intensity = values - values.min() if rises else values.max() - values
        density = -np.log(np.maximum(intensity, 1))
    low, high = _quantiles(density, counts)
    steps = [] if logarithmic else ["logarithm"]
    steps += ["inversion"] if rises else []
    warnings.append(f"is For Processing, and was brought to a presentation-like scale: {', '.join(steps) or 'range'}")
    return np.asarray(np.clip((density - low) / max(high - low, sys.float_info.min), 0, 1))


def _quantiles(values: Table, counts: NDArray[np.int64]) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(counts[order]) / max(counts.sum(), 1)
    low, high = (float(values[order[min(int(np.searchsorted(share, q)), len(order) - 1)]]) for q in QUANTILES)
    return low, high
