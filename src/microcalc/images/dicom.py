"""One DICOM file -> an image as a patch, or a mammogram as it is looked at."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.decoding import stored_range, stored_values
from microcalc.images.dicom_file import numbers, open_dicom
from microcalc.images.grey_scale import mammogram_greys, patch_greys, rescale
from microcalc.images.image import Mammogram
from microcalc.images.pixel_size import pixel_size_mm

STRAIGHT = 1e-6
"""Part of the grey scale by which greys may lie off a straight line."""

_MAGNIFICATION_VIEW = 1.2
_TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
_MAMMOGRAPHY = ("1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2.1")
_RADIOGRAPHS = ("CR", "DX", "RG", "RF", "XA")
_NOT_SAID = ("", "OT", "SC", "DG")
_VIEWS = {
    **dict.fromkeys(("R-10242", "399162004"), "CC"),
    **dict.fromkeys(("R-10226", "399368009"), "MLO"),
    **dict.fromkeys(("R-10224", "399260004"), "ML"),
    **dict.fromkeys(("R-10228", "399352003"), "LM"),
    **dict.fromkeys(("R-10230", "399099002"), "LMO"),
    **dict.fromkeys(("R-102D0", "399371001"), "SIO"),
}
"""Codes of PS3.16 CID 4014, as SNOMED RT and SNOMED CT have them."""


def read_dicom(file: BinaryIO, as_mammogram: bool) -> Mammogram:
    """Read a DICOM file: as a viewer would show it, or by the range of its values, as a patch is read.

    Raises:
        ImageError: it cannot be read, holds anything but one grey image, or is to be a mammogram and is none.
    """
    try:
        return _read(open_dicom(file), as_mammogram)
    except ImageError:
        raise
    except Exception:  # its text may quote the file, and with it the patient
        raise ImageError("is a damaged or truncated DICOM file; copy it again from where it came") from None


def _read(dataset: Any, as_mammogram: bool) -> Mammogram:
    warnings = _check_kind(dataset) if as_mammogram else []
    size, more = pixel_size_mm(dataset)
    warnings += more
    lowest, highest = stored_range(dataset)
    places = stored_values(dataset) - lowest
    every = np.arange(lowest, highest + 1, dtype=np.int32)
    padded = _padded(dataset, every) & as_mammogram

    def shown() -> NDArray[np.int32]:
        return places[~padded[places]] if padded.any() else places

    greys = (mammogram_greys if as_mammogram else patch_greys)(dataset, every, shown, warnings)
    return Mammogram(
        np.where(padded, 0, greys).astype(np.float32)[places],
        size,
        warnings=tuple(warnings),
        sop_instance_uid=str(dataset.get("SOPInstanceUID") or "") or None,
        padding=padded[places] if padded.any() else None,
        side="L" if (side := laterality(dataset)) == "L" else "R" if side == "R" else None,
        view=_view(dataset),
        patient=str(dataset.get("PatientID") or "").strip() or None,
        study=str(dataset.get("StudyInstanceUID") or "") or None,
        orientation=orientation(dataset),
        sop_class=str(dataset.get("SOPClassUID") or "") or None,
        file_values=_ends(dataset, every, greys),
    )


def _ends(dataset: Any, every: NDArray[np.int32], greys: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the values, after rescale, at which the greys of all stored values are 0 and 1; None unless on a line."""
    inside = np.flatnonzero((greys > 0) & (greys < 1))
    if len(inside) < 2 or dataset.get("ModalityLUTSequence"):
        return None
    (first, last), (dark, bright) = every[inside[[0, -1]]], greys[inside[[0, -1]]]
    off_the_line = np.abs(greys[inside] - np.interp(every[inside], (first, last), (dark, bright))).max()
    if off_the_line >= STRAIGHT * abs(bright - dark):
        return None
    slope, intercept = rescale(dataset)
    ends = (first + (end - dark) / (bright - dark) * (last - first) for end in (0, 1))
    black, white = (float(round(end * slope + intercept, 3)) for end in ends)
    return black, white


def _check_kind(dataset: Any) -> list[str]:
    """Return warnings that a reader of mammograms needs for this kind of image; Modality decides, not the body part.

    Raises:
        ImageError: it is no mammogram.
    """
    modality, part = (_text(dataset, keyword) for keyword in ("Modality", "BodyPartExamined"))
    sop_class = str(dataset.get("SOPClassUID") or "")
    if sop_class == _TOMOSYNTHESIS:
        raise ImageError("is a tomosynthesis object; export the 2D mammogram")
    if modality != "MG" and sop_class not in _MAMMOGRAPHY:
        if modality not in (*_NOT_SAID, *_RADIOGRAPHS) or part not in ("", "BREAST"):
            shown = " ".join(word for word in (modality, part) if word)
            raise ImageError(f"is no mammogram but {shown[:40]!a} (Modality, Body Part Examined); leave it out")
        if not part:
            return ["does not state that it is a mammogram (Modality, Body Part Examined)"]
    warnings = []
    (magnification, *_) = numbers(dataset, "EstimatedRadiographicMagnificationFactor") or (1.0,)
    if magnification >= _MAGNIFICATION_VIEW:
        warnings.append(f"is a magnification view (factor {magnification:g}), which shows a part of the breast")
    if _text(dataset, "BreastImplantPresent") == "YES":
        warnings.append("shows an implant (Breast Implant Present), whose edge and folds may be marked")
    return warnings


def _padded(dataset: Any, every: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which values stand for no image: Pixel Padding Value to Range Limit (PS3.3 C.7.5.1.1.2)."""
    value = dataset.get("PixelPaddingValue")
    if value in (None, ""):
        return np.zeros(len(every), bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = [int(value), int(value if limit in (None, "") else limit)]
    ends = [end - 65536 if dataset.PixelRepresentation and end > 32767 else end for end in ends]
    return (every >= min(ends)) & (every <= max(ends))


def _view(dataset: Any) -> str | None:
    position = _text(dataset, "ViewPosition")
    if position:
        return position
    for item in dataset.get("ViewCodeSequence") or ():
        view = _VIEWS.get(str(item.get("CodeValue") or "").strip())
        if view:
            return view
    return None


def laterality(dataset: Any) -> str | None:
    """Return L, R or B: of the image, or else of its series; None where neither gives it."""
    sides = (_text(dataset, keyword) for keyword in ("ImageLaterality", "Laterality"))
    return next((side for side in sides if side in ("L", "R", "B")), None)


def orientation(dataset: Any) -> tuple[str, str] | None:
    """Return the directions of the rows and of the columns, such as ("P", "L"), where the image gives both."""
    value = dataset.get("PatientOrientation")
    words = [str(word).strip().upper() for word in value] if value and not isinstance(value, str) else []
    if len(words) == 2 and all(word and set(word) <= set("APRLHF") for word in words):
        return words[0], words[1]
    return None


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return value.strip().upper() if isinstance(value, str) else ""
