"""Parts that all results of one mammogram share: identity, reproducible UIDs, and the places of marks."""

from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from microcalc.dicom.source import EMPTY_IF_UNKNOWN, PATIENT_AND_STUDY, Source, moment
from microcalc.errors import ImageError
from microcalc.mammograms.findings import Finding, Point, ScannedImage

MODEL = "microcalc"
OUTLINE_MARGIN_MM = 1.0
"""Distance of an outline from the outermost calcifications."""

IMPLEMENTATION_UID = generate_uid(entropy_srcs=["microcalc", "implementation"])


@dataclass(frozen=True)
class Algorithm:
    """The program and committee that made the findings.

    Attributes:
        version: of microcalc.
        committee: its name and version.
        operating_point: the probability from which a finding is marked.

    >>> Algorithm("0.2.0", "pretrained 0.2.0", 0.5).parameters
    ('committee: pretrained 0.2.0', 'operating point: probability of a cluster at least 0.5')
    """

    version: str
    committee: str
    operating_point: float

    @property
    def parameters(self) -> tuple[str, ...]:
        """Further lines on how the findings were made."""
        return (
            plain_text(f"committee: {self.committee}"),
            f"operating point: probability of a cluster at least {self.operating_point:g}",
        )


@dataclass(frozen=True)
class NotAnalyzed:
    """An image that could not be scanned, and why: a sentence without anything that identifies the patient."""

    reason: str


@dataclass(frozen=True)
class Outcome:
    """The result of the scan of one mammogram.

    Attributes:
        source: the mammogram.
        scanned: its findings, or why there are none.
        algorithm: what made them.
        rejected: numbers of the findings that a reader has rejected.

    Raises:
        ImageError: the findings are those of another image; or there are none, and the image is no mammogram.
    """

    source: Source
    scanned: ScannedImage | NotAnalyzed
    algorithm: Algorithm
    rejected: Collection[int] = ()

    def __post_init__(self) -> None:
        if isinstance(self.scanned, NotAnalyzed):
            if not self.source.is_mammogram:
                raise ImageError("is no mammogram (Modality), so no report says that it was not analyzed; leave it out")
        elif not self.scanned.is_of(self.source):
            raise ImageError("is not the image that these findings were found in; scan it again")

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences that a reader of the results must know."""
        if isinstance(self.scanned, NotAnalyzed):
            return (plain_text(f"Not analyzed: {self.scanned.reason}"), *self.source.notes)
        return (*map(plain_text, self.scanned.warnings), *self.source.notes)


def plain_text(text: str) -> str:
    """The text in ASCII, which every character set of a mammogram can hold; other letters become question marks.

    >>> plain_text("naïve")
    'na?ve'
    """
    return " ".join(text.encode("ascii", "replace").decode().split())


def outline(finding: Finding, scanned: ScannedImage) -> tuple[Point, ...]:
    """The closed rectangle around a cluster, ``OUTLINE_MARGIN_MM`` outside its box and inside the image.

    Positions as in :class:`~microcalc.mammograms.findings.Finding`: the centre of the first pixel is (0, 0).
    """
    left, top, right, bottom = finding.box_px
    across, down = OUTLINE_MARGIN_MM / scanned.pixel_size_mm[1], OUTLINE_MARGIN_MM / scanned.pixel_size_mm[0]
    left_edge, right_edge = max(left - across, -0.5), min(right + across, scanned.columns - 0.5)
    upper_edge, lower_edge = max(top - down, -0.5), min(bottom + down, scanned.rows - 0.5)
    corners = ((left_edge, upper_edge), (right_edge, upper_edge), (right_edge, lower_edge), (left_edge, lower_edge))
    return (*corners, corners[0])


def in_dicom(points: tuple[Point, ...]) -> list[Point]:
    """The same points where (0, 0) is the upper left corner of the first pixel (PS3.3 C.18.6.1 and C.10.5)."""
    return [(column + 0.5, row + 0.5) for column, row in points]


def percent(finding: Finding) -> float:
    """The probability of a finding in per cent, to a tenth."""
    return round(100 * finding.probability, 1)


def identify(
    target: Dataset, outcome: Outcome, kind: str, sop_class: UID, modality: str, series_number: int
) -> Dataset:
    """Give a result its patient, study, series, equipment and file meta information.

    A series holds the results of all images of a study, as far as the algorithm is the same. A result's own UID follows
    from all its content and is set last, by :func:`microcalc.dicom.objects.make_objects`.
    """
    header, made_by = outcome.source.header, (MODEL, outcome.algorithm.version, *outcome.algorithm.parameters)
    uid = generate_uid(entropy_srcs=["series", kind, str(header.StudyInstanceUID), *made_by])
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            target[keyword] = deepcopy(header[keyword])
        elif keyword in EMPTY_IF_UNKNOWN:
            setattr(target, keyword, "")
    target.SOPClassUID, target.SOPInstanceUID, target.SeriesInstanceUID = sop_class, uid, uid
    target.Modality, target.SeriesNumber, target.SeriesDescription = modality, series_number, f"{MODEL} {kind}"
    number = str(header.get("InstanceNumber"))
    target.InstanceNumber = number if number.isdecimal() else "1"
    target.Manufacturer, target.ManufacturerModelName = "The microcalc authors", MODEL
    target.DeviceSerialNumber, target.SoftwareVersions = "0", plain_text(outcome.algorithm.version)
    target.ContentDate, target.ContentTime = moment(header)
    target.preamble, target.file_meta = bytes(128), FileMetaDataset()
    target.file_meta.MediaStorageSOPClassUID, target.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    target.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    target.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    target.file_meta.ImplementationVersionName = MODEL.upper()
    return target


def reference(header: Dataset) -> Dataset:
    """Return a reference to a mammogram by its SOP class and instance."""
    return dataset(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)


def dataset(**values: Any) -> Dataset:
    """Return a data set with these elements, by keyword.

    >>> dataset(Rows=400).Rows
    400
    """
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made
