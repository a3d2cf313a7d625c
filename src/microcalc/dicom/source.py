"""The mammogram that results belong to: its header, and the attributes that results repeat."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom import uid
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from microcalc.errors import ImageError
from microcalc.images import read_mammogram
from microcalc.images.dicom import laterality, orientation
from microcalc.images.reader import HEAD, file_kind
from microcalc.images.silence import quiet

PATIENT_AND_STUDY = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
    *("PatientBirthDate", "PatientSex", "PatientAge"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence"),
    *("ReferringPhysicianName", "StudyDescription"),
)
"""Attributes that every result repeats from its mammogram, as the mammogram has them."""

EMPTY_IF_UNKNOWN = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
"""Those of them that a result must have, empty where the mammogram has none."""

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAMMOGRAPHY = (
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.BreastTomosynthesisImageStorage,
)


@dataclass(frozen=True, eq=False)
class Source:
    """A mammogram in DICOM; it can be asked for by :meth:`microcalc.mammograms.findings.ScannedImage.is_of`.

    Attributes:
        header: the attributes that results repeat or state.
        notes: what an MG image should have and this one lacks or garbles, a sentence each.
        content: the bytes of the file that the header was read from.
    """

    header: Dataset
    notes: tuple[str, ...]
    content: bytes

    @property
    def sop_instance_uid(self) -> str:
        """The name of this image in all the world."""
        return str(self.header.SOPInstanceUID)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.header.Rows), int(self.header.Columns)

    @cached_property
    def pixels_sha256(self) -> str:
        """SHA-256 of the pixels, decoded when it is first asked for."""
        return read_mammogram(self.content).pixels_sha256

    @property
    def is_mammogram(self) -> bool:
        """True by Modality or SOP class; the body part alone proves nothing, as CT and ultrasound give it, too."""
        return self.header.get("Modality") == "MG" or self.header.SOPClassUID in _MAMMOGRAPHY


def read_source(mammogram: str | os.PathLike[str] | bytes) -> Source:
    """Read the header of a mammogram.

    Args:
        mammogram: its file, or the bytes of it.

    Raises:
        ImageError: the file is no DICOM image, or lacks a UID that a result must refer to.

    >>> read_source("/nowhere.dcm")
    Traceback (most recent call last):
    ...
    microcalc.errors.ImageError: /nowhere.dcm: is not a readable DICOM file; give the mammogram as DICOM
    """
    name = "" if isinstance(mammogram, bytes) else mammogram
    try:
        content = mammogram if isinstance(mammogram, bytes) else Path(mammogram).read_bytes()
        with quiet():
            is_dicom = file_kind(content[:HEAD]) == "DICOM"  # also without preamble
            header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True, force=is_dicom)
            unreadable = _drop_unreadable(header)
            problems = list(_problems(header))
            notes = (*_notes(header), *unreadable)
    except Exception:  # its text may quote the file, and with it the patient
        raise ImageError("is not a readable DICOM file; give the mammogram as DICOM", name) from None
    if problems:
        raise ImageError(f"{' and '.join(problems)}, which results must refer to; export it again", name)
    return Source(header, notes, content)


def uid_problem(value: object) -> str:
    """Return what is wrong with a UID, or nothing (PS3.5 9.1).

    >>> uid_problem("1.02.3"), uid_problem("1.2.3")
    ('with a component that begins with 0', '')
    """
    text = str(value)
    if uid.UID(text).is_valid:
        return ""
    if len(text) > 64:
        return "of more than 64 characters"
    return "with a component that begins with 0" if re.fullmatch(r"\d+(\.\d+)*", text) else "that is no UID"


def _problems(header: Dataset) -> Iterator[str]:
    for keyword in (*_UIDS, "Rows", "Columns"):
        if not header.get(keyword):
            yield f"lacks {keyword}"
        elif keyword in _UIDS and (problem := uid_problem(header[keyword].value)):
            yield f"has a {keyword} {problem}"


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


def moment(header: Dataset) -> tuple[str, str]:
    """Return the Content Date and Time of results: those of the mammogram, or else of its study.

    They do not depend on when a result is written, so that the same findings always give the same object.

    >>> moment(Dataset())
    ('19700101', '000000')
    """
    for kind in ("Content", "Study"):
        date, time = (str(header.get(kind + part) or "") for part in ("Date", "Time"))
        with suppress(ValueError, TypeError):
            return f"{DA(date):%Y%m%d}", f"{TM(time or '00'):%H%M%S}"
    return "19700101", "000000"


def _notes(header: Dataset) -> tuple[str, ...]:
    missing = {
        "laterality": laterality(header) is None,
        "view": not header.get("ViewCodeSequence"),
        "patient orientation": orientation(header) is None,
    }
    return tuple(f"The image does not state its {what}." for what, is_missing in missing.items() if is_missing)
