"""The mammogram that results belong to: what its header says, and what of it results repeat."""

import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import UID

from microcalc.errors import ImageError
from microcalc.images.silence import quiet

PATIENT_AND_STUDY = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence"),
    *("ReferringPhysicianName", "StudyDescription"),
)
"""Attributes that every result repeats from its mammogram, as the mammogram has them."""

DISPLAY = (
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
)
"""Attributes that turn stored values into greys; a presentation state repeats them."""

_IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "Rows", "Columns", "ContentDate"),
    *("ContentTime", "PhotometricInterpretation", "ImageLaterality", "Laterality", "PatientOrientation"),
    *("ViewCodeSequence", "BurnedInAnnotation"),
)
_EMPTY_IF_UNKNOWN = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, eq=False)
class Source:
    """A mammogram in DICOM, without its pixels.

    Attributes:
        header: what results repeat or state of it.
        notes: what an MG image should have and this one lacks or garbles, a sentence each.
    """

    header: Dataset
    notes: tuple[str, ...]


def read_source(path: str | os.PathLike[str]) -> Source:
    """Read the header of a mammogram.

    Raises:
        ImageError: the file is no DICOM image, or lacks a UID that a result must refer to.

    >>> read_source("/nowhere.dcm")
    Traceback (most recent call last):
    ...
    microcalc.errors.ImageError: /nowhere.dcm: is not a readable DICOM file; give the mammogram as DICOM
    """
    try:
        with quiet(), Path(path).open("rb") as file:
            header = pydicom.dcmread(
                file, stop_before_pixels=True, specific_tags=[*_IMAGE, *PATIENT_AND_STUDY, *DISPLAY]
            )
            unreadable = _drop_unreadable(header)
            lacking = [keyword for keyword in _UIDS if not _is_uid(header.get(keyword))]
            lacking += [keyword for keyword in ("Rows", "Columns") if not header.get(keyword)]
            notes = (*_notes(header), *unreadable)
    except Exception:  # its text may quote the file, and with it the patient
        raise ImageError("is not a readable DICOM file; give the mammogram as DICOM", path) from None
    if lacking:
        raise ImageError(f"lacks {', '.join(lacking)}, which results must refer to; export it again", path)
    return Source(header, notes)


def _drop_unreadable(header: Dataset) -> tuple[str, ...]:
    """Remove elements whose value is not of their kind; a sentence for each."""
    dropped = []
    for tag in list(header.keys()):
        try:
            _ = header[tag]
        except Exception:  # of many kinds: pydicom decodes a value when it is first used
            del header[tag]
            dropped.append(f"The image has an unreadable {keyword_for_tag(tag) or tag}.")
    return tuple(dropped)


def _is_uid(value: object) -> bool:
    return isinstance(value, str) and UID(value).is_valid


def laterality(header: Dataset) -> str | None:
    """L, R or B: of the image, or else of its series; None where neither says."""
    for keyword in ("ImageLaterality", "Laterality"):
        if (value := header.get(keyword)) in ("L", "R", "B"):
            return str(value)
    return None


def patient_orientation(header: Dataset) -> tuple[str, str] | None:
    """The directions of the rows and of the columns, such as ("P", "L"), where the image gives both."""
    value = header.get("PatientOrientation")
    if value is None or isinstance(value, str) or len(value) != 2 or not all(value):
        return None
    return str(value[0]), str(value[1])


def copy_patient_and_study(header: Dataset, target: Dataset) -> None:
    """Repeat ``PATIENT_AND_STUDY`` from a mammogram in a result; what a result must have and is unknown is empty.

    >>> header, result = Dataset(), Dataset()
    >>> header.PatientID = "17"
    >>> copy_patient_and_study(header, result)
    >>> result.PatientID, result.PatientSex
    ('17', '')
    """
    for keyword in PATIENT_AND_STUDY:
        target.pop(keyword, None)
        if keyword in header:
            target[keyword] = deepcopy(header[keyword])
        elif keyword in _EMPTY_IF_UNKNOWN:
            setattr(target, keyword, "")


def _notes(header: Dataset) -> tuple[str, ...]:
    missing = {
        "laterality": laterality(header) is None,
        "view": not header.get("ViewCodeSequence"),
        "patient orientation": patient_orientation(header) is None,
    }
    return tuple(f"The image does not state its {what}." for what, is_missing in missing.items() if is_missing)
