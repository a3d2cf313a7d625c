"""One image of a session, and its description for the page."""

import itertools
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microcalc.app.tiles import TILE, Greys, Window, count_levels
from microcalc.images.image import PixelSize
from microcalc.images.resample import TRUE_PIXEL_MM, as_pixel_size, true_shape
from microcalc.images.tiles import LARGEST_FIELD, PATCH_SIDE
from microcalc.mammograms.findings import ScannedImage
from microcalc.mammograms.other_view import View
from microcalc.mammograms.truth import TrueCluster

LONGEST_NAME = 150
"""Bytes: a disk takes 255, and results add to the name."""

Origin = Literal["upload", "folder", "scan"]
Kind = Literal["mammogram", "patch"]
State = Literal["needs_pixel_size", "ready", "queued", "scanning", "scanned", "stopped", "failed"]
Heatmap = Literal["none", "drawing", "ready", "failed"]
BUSY = ("queued", "scanning")
SHOWN = (
    *("id", "name", "origin", "kind", "rows", "columns", "pixel_size_mm", "laterality", "view", "study", "patient"),
    *("chest_wall", "file_values", "state", "error", "dicom", "heatmap"),
)
"""Attributes that the page gets as they are."""


@dataclass(frozen=True, eq=False)
class Detail:
    """One finding from near.

    Attributes:
        votes: the probability by each expert, of the window around the finding.
        calcifications_patch: column and row of each in that window.
        patch: a PNG of it, 60 x 60 pixels.
        gradcam: a PNG with its Grad-CAM map in colour, the more opaque the hotter.
    """

    votes: tuple[float, ...]
    calcifications_patch: tuple[tuple[float, float], ...]
    patch: bytes
    gradcam: bytes


@dataclass(eq=False)
class OpenImage:
    """One image of the session; what does not come from its file may change.

    Attributes:
        id: by which the page names it.
        name: that the user gave it; no path.
        path: of its file.
        origin: how it came here.
        rows: of the image.
        columns: of the image.
        file_pixel_size_mm: as the file gives it.
        given_pixel_size_mm: as the user gives it, where the file does not.
        laterality: "L", "R" or None.
        view: such as "CC" or None.
        study: equal for the images of one DICOM study.
        patient: Patient ID of a DICOM file.
        chest_wall: side of the image at which it lies.
        window: that shows the image first.
        file_values: of the file that became 0 and 1; see :class:`microcalc.images.Mammogram`.
        warnings: of the file, a sentence each.
        dicom: whether it is a DICOM file.
        sop_instance_uid: of a DICOM file.
        pixels_sha256: of the image.
        truth: the true clusters; None where they are not known.
        thumbnail: a JPEG of at most 128 pixels a side.
        state: of its scan.
        progress: of its scan: stage, steps done, steps in all.
        error: why it could not be scanned.
        scanned: its findings; those of a patch, too, with one finding that stands for all of it.
        operating_point: of the findings, as the reader keeps it.
        scan_point: operating point of the scan.
        committee: name of the one that made the findings of a finished scan; None for that of the session.
        details: of each finding by its number, and the findings that they are of.
        heatmap: of the drawing of its heat map.
        heatmap_png: that map.
        geometry: of its breast, once it has been asked for.
        folder: of the finished scan that it comes from, where its review.json lies; None for other images.
    """

    id: str
    name: str
    path: Path
    origin: Origin
    rows: int
    columns: int
    file_pixel_size_mm: PixelSize | None
    given_pixel_size_mm: float | None
    laterality: Literal["L", "R"] | None
    view: str | None
    study: str | None
    patient: str | None
    chest_wall: Literal["left", "right"] | None
    window: Window
    file_values: tuple[float, float] | None
    warnings: tuple[str, ...]
    dicom: bool
    sop_instance_uid: str | None
    pixels_sha256: str
    truth: tuple[TrueCluster, ...] | None
    thumbnail: bytes
    state: State = "ready"
    progress: tuple[str, int, int] | None = None
    error: str | None = None
    scanned: ScannedImage | None = None
    operating_point: float = 0.5
    scan_point: float = 0.5
    committee: str | None = None
    details: tuple[ScannedImage, dict[int, Detail]] | None = None
    heatmap: Heatmap = "none"
    heatmap_png: bytes = b""
    geometry: View | None = None
    folder: Path | None = None
    computing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def identity(self) -> str:
        """The SOP Instance UID, or else the hash of the pixels."""
        return self.sop_instance_uid or self.pixels_sha256

    @property
    def stem(self) -> str:
        """The name without its suffix; see :func:`split_name`."""
        return split_name(self.name)[0]

    @property
    def pixel_size_mm(self) -> PixelSize | None:
        """The pixel size of the file, else as given; 85 um of an image of 60 x 60 pixels that has neither."""
        if self.file_pixel_size_mm:
            return self.file_pixel_size_mm
        if self.given_pixel_size_mm:
            return as_pixel_size(self.given_pixel_size_mm)
        return (TRUE_PIXEL_MM, TRUE_PIXEL_MM) if self.shape == (PATCH_SIDE, PATCH_SIDE) else None

    @property
    def kind(self) -> Kind | None:
        """The kind that the committee takes it for; None where that needs the pixel size."""
        size = self.pixel_size_mm
        if size is None:
            return None
        return "patch" if max(true_shape(self.shape, size)) <= LARGEST_FIELD else "mammogram"

    def mark_from(self, operating_point: float) -> None:
        """Mark the findings from another probability on."""
        with self.computing:
            if self.scanned is not None:
                self.scanned, before = self.scanned.marked_from(operating_point), self.scanned
                self.operating_point = operating_point
                if self.details is not None and self.details[0] is before:
                    self.details = self.scanned, self.details[1]

    def forget_findings(self) -> None:
        """Begin again, as the pixel size has changed."""
        self.scanned = self.details = self.progress = self.error = self.committee = None
        self.heatmap, self.heatmap_png, self.geometry = "none", b"", None
        self.state = "ready" if self.pixel_size_mm else "needs_pixel_size"

    def entry(self) -> dict[str, Any]:
        """Return the description that the page gets."""
        return {name: getattr(self, name) for name in SHOWN} | {
            "pixel_size_given": self.given_pixel_size_mm is not None and self.file_pixel_size_mm is None,
            "window": {"center": self.window.center, "width": self.window.width},
            "warnings": self.warnings if self.scanned is None else self.scanned.warnings,
            "progress": self.progress and dict(zip(("stage", "done", "total"), self.progress, strict=True)),
            "tiles": {"size": TILE, "levels": count_levels(self.rows, self.columns)},
            "operating_point": self.operating_point if self.scanned else None,
            "scan_point": self.scan_point if self.scanned else None,
            "truth": self.truth and [vars(cluster) for cluster in self.truth],
        }


def clean_name(given: str) -> str:
    """Return the browser's name of a file without folders and without letters that steer a terminal or a header.

    >>> clean_name("C:\\\\scans\\\\a\\n.dcm"), clean_name("../../etc/passwd"), clean_name("..")
    ('a.dcm', 'passwd', 'image')
    """
    last = given.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return name.encode()[-LONGEST_NAME:].decode(errors="ignore") or "image"


def split_name(name: str) -> tuple[str, str]:
    """Split a name before its suffix; the last number of a name that is a UID is no suffix.

    >>> split_name("left.dcm"), split_name("1.2.840.1"), split_name("1.2.840.1.dcm")
    (('left', '.dcm'), ('1.2.840.1', ''), ('1.2.840.1', '.dcm'))
    """
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and not suffix.isdecimal() else (name, "")


def free_name(name: str, taken: Iterable[str]) -> str:
    """Number a name where others share its stem, so that no download of one image is named as that of another.

    >>> free_name("1-1.dcm", ["1-1.png", "1-1 (2).dcm"])
    '1-1 (3).dcm'
    """
    stems = {split_name(other)[0].casefold() for other in taken}
    stem, suffix = split_name(name)
    numbered = (f"{stem} ({number})" if number > 1 else stem for number in itertools.count(1))
    return next(each for each in numbered if each.casefold() not in stems) + suffix


def chest_wall(orientation: tuple[str, str] | None, greys: Greys) -> Literal["left", "right"] | None:
    """The side of the chest wall: where rows begin or end in the patient, else where the tissue touches the edge most.

    >>> greys = np.zeros((9, 9), np.uint16)
    >>> greys[2:7, :4] = 30000
    >>> chest_wall(None, greys), chest_wall(("P", "F"), greys)
    ('left', 'right')
    """
    if orientation and orientation[0][0] in "AP":  # where rows run to
        return "left" if orientation[0][0] == "A" else "right"
    tissue = greys > 0.5 * float(np.mean(greys))
    strip = max(math.ceil(greys.shape[1] / 50), 1)
    left, right = float(tissue[:, :strip].mean()), float(tissue[:, -strip:].mean())
    if abs(left - right) < 0.1:
        return None
    return "left" if left > right else "right"
