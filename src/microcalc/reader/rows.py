"""The rows of ``findings.csv``, ``images.csv`` and ``exams.csv``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microcalc.files import read_json
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.words import steps

COLUMNS = (
    *("file", "number", "probability", "score", "marked", "center_column_px", "center_row_px"),
    *("left_px", "top_px", "right_px", "bottom_px", "extent_mm", "calcifications"),
    *("votes", "committee", "second_opinion"),
)
IMAGE_COLUMNS = (
    *("file", "patient", "study", "side", "view", "row_spacing_mm", "column_spacing_mm"),
    *("highest_probability", "marks", "read"),
)
EXAM_COLUMNS = ("patient", "study", "side", "views", "images", "highest_probability", "marks", "images_read")

Row = Sequence[Any]


def table_row(image: ScannedImage, finding: Finding) -> Row:
    """Return a finding as a row of ``findings.csv``, in the order of ``COLUMNS``."""
    numbers = [_number(value) for value in (finding.probability, finding.score)]
    places = [f"{value:.2f}" for value in finding.center_px]
    box, extent, count = finding.box_px, f"{finding.extent_mm:.2f}", len(finding.calcifications_px)
    values = steps(finding)
    by = [values.get(word) for word in ("votes", "committee", "second opinion")]
    return [image.file, finding.number, *numbers, int(finding.marked), *places, *box, extent, count, *by]


def image_row(image: ScannedImage, is_read: bool) -> Row:
    """Return an image as a row of ``images.csv``, in the order of ``IMAGE_COLUMNS``."""
    known = [image.patient_name, image.study, image.side, image.view, *map(_number, image.pixel_size_mm)]
    return [image.file, *known, _number(image.highest), image.marks, int(is_read)]


@dataclass
class Unit:
    """The images of one breast, or of one exam: their views, and their highest probability."""

    views: list[str] = field(default_factory=list)
    images: int = 0
    highest: float = 0.0
    marks: int = 0
    read: int = 0


class Exams:
    """The rows of ``exams.csv``: one a patient and study, and one below for each breast of known side."""

    def __init__(self) -> None:
        self._units: dict[tuple[str, str], dict[str, Unit]] = {}

    def add(self, image: ScannedImage, is_read: bool) -> None:
        """Count an image, and whether a reader has read it."""
        exam = self._units.setdefault((image.patient_name, image.study or ""), {})
        for side in ("", image.side) if image.side else ("",):
            unit = exam.setdefault(side, Unit())
            unit.views += [image.view] if image.view and image.view not in unit.views else []
            unit.images, unit.marks, unit.read = unit.images + 1, unit.marks + image.marks, unit.read + is_read
            unit.highest = max(unit.highest, image.highest)

    def rows(self) -> Iterator[Row]:
        """Give the head and all rows."""
        yield EXAM_COLUMNS
        for exam, breasts in self._units.items():
            for side, unit in sorted(breasts.items()):
                views = " ".join(sorted(unit.views))
                yield [*exam, side, views, unit.images, _number(unit.highest), unit.marks, unit.read]


def read_images(folder: Path) -> set[str]:
    """Return UID, or else hash, of the images that ``review.json`` beside a scan says a reader has read.

    Raises:
        RequestError: the file there is no JSON.
    """
    path = folder / "review.json"
    reviewed = read_json(path, "move it away to begin anew").get("images", ()) if path.exists() else ()
    return {each["sop_instance_uid"] or each["pixels_sha256"] for each in reviewed if each["read"]}


def _number(value: float) -> str:
    return f"{value:.6g}"
