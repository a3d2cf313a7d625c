"""One DICOM file -> an image as a patch, or a mammogram as it is looked at."""

from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from microcalc.errors import ImageError
from microcalc.images.decoding import stored_range, stored_values
from microcalc.images.dicom_file import looks_like_dicom, numbers, open_dicom
from microcalc.images.grey_scale import mammogram_greys, patch_greys
from microcalc.images.image import Image, Mammogram
from microcalc.images.pixel_size import pixel_size_mm

__all__ = ["looks_like_dicom", "read_dicom_image", "read_dicom_mammogram"]

Read = TypeVar("Read")

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


def read_dicom_image(file: BinaryIO) -> Image:
    """Read a DICOM file as a patch.

    Raises:
        ImageError: it cannot be read, or holds anything but one grey image; without the file's name.
    """
    return _guarded(file, _image)


def read_dicom_mammogram(file: BinaryIO) -> Mammogram:
    """Read a DICOM file as a whole mammogram.

    Raises:
        ImageError: as for a patch; or it is no mammogram.
    """
    return _guarded(file, _mammogram)


def _guarded(file: BinaryIO, read: Callable[[Any], Read]) -> Read:
    try:
        return read(open_dicom(file))
    except ImageError:
        raise
    except Exception:  # its text may quote the file, and with it the patient
        raise ImageError("is a damaged or truncated DICOM file; copy it again from where it came") from None


def _image(dataset: Any) -> Image:
    stored, every = stored_values(dataset), _every_value(dataset)
    size, warnings = pixel_size_mm(dataset)

    def counts() -> NDArray[np.int64]:
        return np.bincount((stored - every[0]).ravel(), minlength=len(every))

    return Image(
        _through(patch_greys(dataset, every, counts, warnings), stored, every),
        size,
        warnings=tuple(warnings),
        sop_instance_uid=_instance(dataset),
    )


def _mammogram(dataset: Any) -> Mammogram:
    warnings = _check_kind(dataset)
    stored, every = stored_values(dataset), _every_value(dataset)
    size, more = pixel_size_mm(dataset)
    warnings += more
    padded = _padded(dataset, every)

    def counts() -> NDArray[np.int64]:
        return np.where(padded, 0, np.bincount((stored - every[0]).ravel(), minlength=len(every)))

    greys = np.where(padded, 0, mammogram_greys(dataset, every, counts, warnings))
    return Mammogram(
        _through(greys, stored, every),
        size,
        warnings=tuple(warnings),
        sop_instance_uid=_instance(dataset),
        padding=padded[stored - every[0]] if padded.any() else None,
        laterality=laterality(dataset),
        view=_view(dataset),
        orientation=orientation(dataset),
        sop_class=str(dataset.get("SOPClassUID") or "") or None,
    )


def _every_value(dataset: Any) -> NDArray[np.int32]:
    lowest, highest = stored_range(dataset)
    return np.arange(lowest, highest + 1, dtype=np.int32)


def _through(table: NDArray[np.float64], stored: NDArray[np.int32], every: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.asarray(table.astype(np.float32)[stored - every[0]])


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
    """Which values stand for no image: Pixel Padding Value, up to Pixel Padding Range Limit (PS3.3 C.7.5.1.1.2)."""
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


def _instance(dataset: Any) -> str | None:
    return str(dataset.get("SOPInstanceUID") or "") or None


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return value.strip().upper() if isinstance(value, str) else ""
