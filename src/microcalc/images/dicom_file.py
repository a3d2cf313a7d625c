"""A DICOM file -> the elements that matter to its pixels, and those that tell side, view, study and patient."""

import re
from typing import Any, BinaryIO

from microcalc.errors import ImageError
from microcalc.images.image import check_size

_ELEMENTS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "BodyPartExamined"),
    *("PresentationIntentType", "BreastImplantPresent"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "PixelIntensityRelationship", "PixelIntensityRelationshipSign"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PresentationLUTShape", "PresentationLUTSequence"),
    *("PixelSpacing", "PixelSpacingCalibrationType", "ImagerPixelSpacing", "NominalScannedPixelSpacing"),
    *("EstimatedRadiographicMagnificationFactor", "PixelAspectRatio"),
    *("ImageLaterality", "Laterality", "ViewPosition", "ViewCodeSequence", "PatientOrientation"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
_FUNCTIONAL_GROUPS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "FramePixelDataPropertiesSequence": ("ImagerPixelSpacing", "EstimatedRadiographicMagnificationFactor"),
}
_REQUIRED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation")
_EXPORT = "export it again from where it came"


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first bytes are those of a DICOM file without preamble, as older ones are.

    >>> looks_like_dicom(b"\\x08\\0\\x05\\0CS" + bytes(20)), looks_like_dicom(b"\\x08\\0 some text")
    (True, False)
    """
    group, explicit = head[:2], re.match(rb"[A-Z]{2}", head[4:6])
    if group in (b"\x02\0", b"\x08\0"):
        return bool(explicit) or (len(head) >= 8 and int.from_bytes(head[4:8], "little") in range(2, 1025, 2))
    return group == b"\0\x08" and bool(explicit)


def open_dicom(file: BinaryIO) -> Any:
    """Read what is needed of a file, and check that it holds one grey image.

    Returns:
        A pydicom ``Dataset`` with the elements of this module's list alone; those of a single frame's functional groups
        (PS3.3 C.7.6.16) stand at its top.

    Raises:
        ImageError: it holds no image, several, or one in colour; or elements that contradict each other.
    """
    dataset = _read(file)
    if "PixelData" not in dataset:
        raise ImageError("is a DICOM file without pixels (a report, or cut short); name one that holds an image")
    lacking = [keyword for keyword in _REQUIRED if dataset.get(keyword) in (None, "")]
    if lacking:
        raise ImageError(f"is a DICOM file that lacks {', '.join(map(spaced, lacking))}; {_EXPORT}")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageError("is a multi-frame DICOM file; export the frame wanted as a file of its own")
    interpretation = str(dataset.PhotometricInterpretation).strip().upper()
    if (dataset.get("SamplesPerPixel") or 1) != 1 or interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError("is a DICOM file in colour; export it as MONOCHROME2")
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = interpretation, 1
    dataset.PixelRepresentation = dataset.get("PixelRepresentation") or 0
    check_size(dataset.Rows, dataset.Columns)
    _lift_functional_groups(dataset)
    _check_presentation_lut(dataset)
    return dataset


def _read(file: BinaryIO) -> Any:
    import pydicom
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset = pydicom.dcmread(file, force=True, specific_tags=_ELEMENTS)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
            raise ImageError(f"is compressed, and does not state how (Transfer Syntax UID); {_EXPORT}")
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _lift_functional_groups(dataset: Any) -> None:
    """Bring the elements of a single frame's functional groups to the top, where all others look for them."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for frame in dataset.get(groups) or ():
            for group, keywords in _FUNCTIONAL_GROUPS.items():
                for item in frame.get(group) or ():
                    for keyword in keywords:
                        if keyword in item:
                            _lift(dataset, item, keyword)


def _lift(dataset: Any, item: Any, keyword: str) -> None:
    if keyword in dataset and _value(dataset, keyword) != _value(item, keyword):
        raise ImageError(f"gives {spaced(keyword)} twice, and not the same; {_EXPORT}")
    dataset[keyword] = item.get_item(keyword)


def _value(dataset: Any, keyword: str) -> object:
    return str(dataset[keyword].value) if keyword == "VOILUTFunction" else numbers(dataset, keyword)


def _check_presentation_lut(dataset: Any) -> None:
    """PS3.3 C.8.11.3.1.2: IDENTITY goes with MONOCHROME2, INVERSE with MONOCHROME1, and nothing else does."""
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    interpretation = dataset.PhotometricInterpretation
    if (shape, interpretation) in (("INVERSE", "MONOCHROME2"), ("IDENTITY", "MONOCHROME1")):
        raise ImageError(
            f"states {interpretation} and Presentation LUT Shape {shape}, which contradict each other: "
            f"whether its 0 is black cannot be known; correct one of them"
        )
    if dataset.get("PresentationLUTSequence"):
        raise ImageError("has a Presentation LUT of its own, which is not read; export it without")


def numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """Return the numbers of one element; a decimal comma is read as a point where it can be nothing else.

    Raises:
        ImageError: it holds something else.

    >>> from pydicom import Dataset
    >>> numbers(Dataset(), "PixelSpacing")
    ()
    """
    from pydicom.datadict import dictionary_VR
    from pydicom.tag import Tag

    element = dataset.get_item(Tag(keyword)) if keyword in dataset else None
    if element is None or element.value in (None, b"", ""):
        return ()
    value = element.value
    if isinstance(value, bytes) and dictionary_VR(keyword) in ("DS", "IS"):  # not decoded yet
        value = value.decode("ascii", "replace").strip("\0 ").split("\\")
    elif isinstance(value, bytes):
        value = dataset[keyword].value
    values = [value] if isinstance(value, str | int | float) else list(value)
    return tuple(_number(each, keyword) for each in values)


def _number(value: Any, keyword: str) -> float:
    text = str(value).strip("\0 ")
    if re.fullmatch(r"[+-]?(0|\d*[1-9]\d{3,}|\d+(?=,(\d{1,2}|\d{4,})$)),\d+", text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        raise ImageError(f"has {text[:20]!r} as a number of {spaced(keyword)}; {_EXPORT}") from None


def spaced(keyword: str) -> str:
    """A DICOM keyword as the standard prints it.

    >>> spaced("BitsStored"), spaced("VOILUTFunction")
    ('Bits Stored', 'VOI LUT Function')
    """
    from pydicom.datadict import dictionary_description

    return str(dictionary_description(keyword))
