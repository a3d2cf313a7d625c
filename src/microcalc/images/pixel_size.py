"""The size of a pixel in the plane of the breast, from a DICOM dataset (PS3.3 10.7.1.3)."""

from typing import Any

from microcalc.errors import ImageError
from microcalc.images.dicom_file import numbers, spaced
from microcalc.images.image import PixelSize

SMALLEST_PIXEL_MM, LARGEST_PIXEL_MM = 0.005, 1.0
"""The size that a pixel of a mammogram can have; of 1 mm and more, calcifications are smaller than it."""

MOST_DISAGREEMENT = 1.25
"""Calibrated and geometric size differ by breast thickness; by more than this they contradict each other."""


def pixel_size_mm(dataset: Any) -> tuple[PixelSize | None, list[str]]:
    """Return the pixel size, and a warning where it is doubtful.

    In this order: Pixel Spacing, where it is calibrated (stated so, or differs from Imager Pixel Spacing, or there is
    none of that); Imager Pixel Spacing over the Estimated Radiographic Magnification Factor; Nominal Scanned Pixel
    Spacing of digitised film. A size that no pixel can have counts as none, with a warning.

    Returns:
        Distance between rows and between columns in mm, or None; and warnings.

    Raises:
        ImageError: an element holds no number, or the pixels are not square and have no size.
    """
    warnings: list[str] = []
    spacing, imager, scanned = (
        _lengths(dataset, keyword, warnings)
        for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    )
    in_breast = imager and _demagnified(dataset, imager, warnings)
    calibrated = str(dataset.get("PixelSpacingCalibrationType") or "").strip() != ""
    if spacing and (imager is None or spacing != imager or calibrated):
        if in_breast:
            _compare(spacing, in_breast, warnings)
        return spacing, warnings
    size = in_breast if imager else scanned
    if size is None:
        _check_square(dataset)
    return size, warnings


def _lengths(dataset: Any, keyword: str, warnings: list[str]) -> PixelSize | None:
    values = numbers(dataset, keyword)
    if not values:
        return None
    if len(values) != 2 or not all(SMALLEST_PIXEL_MM <= value <= LARGEST_PIXEL_MM for value in values):
        shown = " x ".join(f"{value:g}" for value in values[:3])
        warnings.append(f"{spaced(keyword)} of {shown} mm is impossible and was ignored")
        return None
    return values[0], values[1]


def _demagnified(dataset: Any, imager: PixelSize, warnings: list[str]) -> PixelSize | None:
    (factor, *_) = numbers(dataset, "EstimatedRadiographicMagnificationFactor") or (1.0,)
    if not 1 <= factor <= 10:
        warnings.append(
            f"Estimated Radiographic Magnification Factor of {factor:g} is impossible, so that Imager Pixel Spacing "
            "was ignored"
        )
        return None
    return imager[0] / factor, imager[1] / factor


def _compare(spacing: PixelSize, in_breast: PixelSize, warnings: list[str]) -> None:
    ratios = [one / other for one, other in zip(spacing, in_breast, strict=True)]
    if any(ratio > MOST_DISAGREEMENT or ratio < 1 / MOST_DISAGREEMENT for ratio in ratios):
        warnings.append(
            f"Pixel Spacing of {spacing[0]:g} x {spacing[1]:g} mm was used, though Imager Pixel Spacing and "
            f"magnification give {in_breast[0]:.3g} x {in_breast[1]:.3g} mm"
        )


def _check_square(dataset: Any) -> None:
    aspect = numbers(dataset, "PixelAspectRatio")
    if len(aspect) == 2 and aspect[0] != aspect[1]:
        raise ImageError(
            f"has pixels of {aspect[0]:g} : {aspect[1]:g} (Pixel Aspect Ratio) and gives no size; "
            "resample it to square pixels"
        )
