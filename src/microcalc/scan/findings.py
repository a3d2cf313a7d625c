"""What a scan answers: the findings of one mammogram, as ``findings.json`` holds them."""

from dataclasses import asdict, dataclass
from typing import Any

Point = tuple[float, float]


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

    >>> Finding(1, 2.5, 0.92, True, (12.0, 8.5), (10, 7, 14, 10), 0.4, ((10.0, 7.0), (14.0, 10.0))).probability
    0.92
    """

    number: int
    score: float
    probability: float
    marked: bool
    center_px: Point
    box_px: tuple[int, int, int, int]
    extent_mm: float
    calcifications_px: tuple[Point, ...]


@dataclass(frozen=True)
class ScannedImage:
    """The findings of one mammogram and what they were found in.

    Attributes:
        file: as the user named it.
        pixel_size_mm: distance of neighbouring rows and of neighbouring columns.
        rows: of the image.
        columns: of the image.
        breast_mm2: area of the breast.
        seconds: from the file to its findings.
        warnings: what a reader must know about this image, a sentence each.
        findings: all candidates above a low floor, the most probable first.
    """

    file: str
    pixel_size_mm: tuple[float, float]
    rows: int
    columns: int
    breast_mm2: float
    seconds: float
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, an entry of ``images`` in ``findings.json``."""
        return asdict(self)
