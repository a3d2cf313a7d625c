"""The findings of one mammogram, as ``findings.json`` holds them."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from microcalc.files import FileName, checked, read_record
from microcalc.images.image import PixelSize
from microcalc.images.names import patient_of
from microcalc.images.pixel_size import LARGEST_PIXEL_MM, SMALLEST_PIXEL_MM

Point = tuple[float, float]
Probability = Annotated[float, Ge(0), Le(1)]
LEAST = 1e-12
PixelLength = Annotated[float, Ge(SMALLEST_PIXEL_MM), Le(LARGEST_PIXEL_MM)]


@dataclass(frozen=True)
class Finding:
    """One suspected cluster of microcalcifications.

    Every position is (column, row) in pixels of the original image, the centre of its first pixel at (0, 0).

    Attributes:
        number: from 1, in the order of falling probability.
        score: the committee's logit; it rises with ``probability``.
        probability: of a cluster, from 0 to 1.
        marked: whether the probability reaches the operating point.
        center_px: mean position of the single calcifications.
        box_px: left, top, right, bottom: the smallest box around them.
        extent_mm: the largest distance between two of them.
        calcifications_px: the single calcifications.
        votes: probability by each expert; empty in scans of earlier versions. See :mod:`microcalc.mammograms.words`.
        committee: probability by all of them; None in scans of earlier versions.

    >>> Finding(1, 2.5, 0.92, True, (12.0, 8.5), (10, 7, 14, 10), 0.4, ((10.0, 7.0), (14.0, 10.0))).probability
    0.92
    """

    number: int
    score: float
    probability: Probability
    marked: bool
    center_px: Point
    box_px: tuple[int, int, int, int]
    extent_mm: float
    calcifications_px: tuple[Point, ...]
    votes: tuple[Probability, ...] = ()
    committee: Probability | None = None

    @property
    def second_opinion(self) -> float | None:
        """The second opinion's addition to the log odds by the committee; None where there is none."""
        if self.committee is None or not self.calcifications_px:  # the answer for a whole patch has none
            return None
        probability = min(max(self.committee, LEAST), 1 - LEAST)
        return self.score - math.log(probability / (1 - probability))


class Identified(Protocol):
    """An image, as far as is needed to tell it from all others; see :class:`microcalc.images.Image`."""

    @property
    def sop_instance_uid(self) -> str | None: ...  # noqa: D102

    @property
    def pixels_sha256(self) -> str: ...  # noqa: D102

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102


def placed(points: NDArray[np.float64], shape: tuple[int, ...], pixel_size_mm: PixelSize) -> dict[str, Any]:
    """Return where calcifications lie and how far they extend, as fields of a :class:`Finding`.

    Args:
        points: (n, 2) column and row of each.
        shape: rows and columns of their image.
        pixel_size_mm: of the image.

    >>> placed(np.array([[10.0, 20.0], [40.5, 20.0], [25.0, 60.0]]), (400, 300), (0.1, 0.1))["box_px"]
    (10, 20, 41, 60)
    """
    left, top = np.floor(points.min(axis=0)).clip(0).astype(int).tolist()
    millimetres = points * pixel_size_mm[::-1]
    right, bottom = np.minimum(np.ceil(points.max(axis=0)), np.array(shape[::-1]) - 1).astype(int).tolist()
    return {
        "center_px": tuple(points.mean(axis=0).tolist()),
        "box_px": (left, top, right, bottom),
        "extent_mm": float(np.hypot(*(millimetres[:, None] - millimetres).T).max()),
        "calcifications_px": tuple(map(tuple, points.tolist())),
    }


@dataclass(frozen=True)
class ScannedImage:
    """The findings of one mammogram and what they were found in.

    Attributes:
        file: as the user named it; in ``findings.json`` an absolute path or a URL.
        sop_instance_uid: of a DICOM file; None for other files.
        pixels_sha256: of the image; see :attr:`microcalc.images.Image.pixels_sha256`.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        rows: of the image.
        columns: of the image.
        breast_mm2: area of the breast.
        seconds: from the file to its findings.
        warnings: what a reader must know about this image, a sentence each.
        findings: the candidates above a low floor, at most 12, the most probable first.
        patient: Patient ID of a DICOM file.
        study: Study Instance UID of a DICOM file.
        side: "L" or "R", by the DICOM file or the name of the file.
        view: such as "CC" or "MLO", likewise.
    """

    file: FileName
    sop_instance_uid: str | None
    pixels_sha256: str
    pixel_size_mm: tuple[PixelLength, PixelLength]
    rows: int
    columns: int
    breast_mm2: float
    seconds: float
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    patient: str | None = None
    study: str | None = None
    side: Literal["L", "R"] | None = None
    view: str | None = None

    @property
    def patient_name(self) -> str:
        """The patient: by Patient ID, else the name of the file (see :mod:`microcalc.images.names`), else the study."""
        by_name = patient_of(self.file)
        names_none = by_name == self.file
        return self.patient or (names_none and self.study) or by_name

    @property
    def highest(self) -> float:
        """The highest probability of a finding; 0 without one."""
        return max((finding.probability for finding in self.findings), default=0.0)

    @property
    def marks(self) -> int:
        """The number of findings that are marked."""
        return sum(finding.marked for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, an entry of ``images`` in ``findings.json``."""
        return {**vars(self), "findings": [vars(finding) for finding in self.findings]}

    def marked_from(self, operating_point: float) -> Self:
        """Return the findings with those marked whose probability reaches an operating point."""
        findings = (replace(each, marked=each.probability >= operating_point) for each in self.findings)
        return replace(self, findings=tuple(findings))

    def is_of(self, image: Identified) -> bool:
        """Whether these are findings of an image: by its SOP Instance UID, or else by its pixels; never by its name.

        >>> import numpy as np
        >>> from microcalc.images import Image
        >>> image = Image(np.zeros((9, 12), np.float32), None)
        >>> ScannedImage("a.png", None, image.pixels_sha256, (0.07, 0.07), 9, 12, 9.0, 1.2, (), ()).is_of(image)
        True
        """
        if self.sop_instance_uid is None or image.sop_instance_uid is None:
            return self.pixels_sha256 == image.pixels_sha256
        return self.sop_instance_uid == image.sop_instance_uid and (self.rows, self.columns) == image.shape

    @classmethod
    def from_dict(cls, saved: Any) -> Self:
        """Read what :meth:`to_dict` made, from JSON that anybody may have written; keys may have been added.

        Raises:
            RequestError: it is no such entry.

        >>> import json
        >>> image = ScannedImage("a.dcm", "1.2.3", "9f86", (0.07, 0.07), 3328, 2560, 9000.0, 1.2, (), ())
        >>> ScannedImage.from_dict(json.loads(json.dumps(image.to_dict()))) == image
        True
        """
        return checked(cls, saved, other_keys="ignore")


@dataclass(frozen=True)
class Scan:
    """The content of a ``findings.json``."""

    schema: Literal[2]
    committee: str
    operating_point: Probability
    images: tuple[ScannedImage, ...]
    failed: tuple[dict[str, FileName], ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the ``findings.json`` of a folder.

        Raises:
            RequestError: there is none, or it is damaged.
        """
        return read_record(folder / "findings.json", cls, "give the --out of a finished scan")
