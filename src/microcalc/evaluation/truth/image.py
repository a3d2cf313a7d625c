"""The truth of one mammogram, in the same form whichever file it comes from."""

from collections.abc import Iterable
from dataclasses import dataclass

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ImageTruth:
    """The clusters of one mammogram; without any, it is normal. Positions are as in ``findings.json``.

    Attributes:
        name: of the image: a path or the end of one, with or without suffix, or the name of its folder.
        boxes_px: left, top, right and bottom of each cluster.
        calcifications_px: single calcifications outside the boxes; those that lie close together are a cluster.
        patient: None where the truth does not give it.
        patient_in_name: a regular expression whose first group is the patient in the image's file name, or empty.
        sop_instance_uid: None where the truth does not give it.
        pixels_sha256: None where the truth does not give it.
        shape: rows and columns of the image; None where the truth does not give them.
    """

    name: str
    boxes_px: tuple[Box, ...] = ()
    calcifications_px: tuple[Point, ...] = ()
    patient: str | None = None
    patient_in_name: str = ""
    sop_instance_uid: str | None = None
    pixels_sha256: str | None = None
    shape: tuple[int, int] | None = None


def as_box(sides: Iterable[float | str]) -> Box:
    """Four numbers as a box; ValueError where they are none.

    >>> as_box(["10", "20", "40", "60"])
    (10.0, 20.0, 40.0, 60.0)
    """
    left, top, right, bottom = map(float, sides)
    if not (left <= right and top <= bottom):
        raise ValueError("left, top, right, bottom are needed, in this order")
    return left, top, right, bottom
