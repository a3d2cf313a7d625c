"""The images of a session: what the page is told of each, and the greys of the few that were used last."""

import contextlib
import math
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from microcalc.app.tiles import TILE, Greys, Window, build_levels, count_levels, default_window, encode
from microcalc.errors import ImageError, MicrocalcError
from microcalc.images import Mammogram, read_mammogram
from microcalc.images.image import PixelSize
from microcalc.images.reader import HEAD, file_kind
from microcalc.images.resample import TRUE_PIXEL_MM, as_pixel_size, true_shape
from microcalc.images.tiles import LARGEST_FIELD, PATCH_SIDE

if TYPE_CHECKING:
    from microcalc.app.findings import Detail
    from microcalc.scan.findings import ScannedImage

CACHE_BYTES = 512 * 2**20
"""Most bytes of greys that are kept: seven mammograms of 12 megapixels."""

LONGEST_NAME = 150

Origin = Literal["upload", "folder", "scan"]
Kind = Literal["mammogram", "patch"]
State = Literal["needs_pixel_size", "ready", "queued", "scanning", "scanned", "stopped", "failed"]
Heatmap = Literal["none", "drawing", "ready", "failed"]
BUSY = ("queued", "scanning")


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
        chest_wall: side of the image at which it lies.
        window: that shows the image first.
        warnings: of the file, a sentence each.
        dicom: whether it is a DICOM file.
        thumbnail: a JPEG of at most 512 pixels a side.
        state: of its scan.
        progress: of its scan: stage, steps done, steps in all.
        error: why it could not be scanned.
        scanned: its findings; those of a patch, too, with one finding that stands for all of it.
        operating_point: of the findings.
        details: of each finding, once asked for.
        heatmap: of the drawing of its heat map.
        heatmap_png: that map.
        key: by which review.json names it.
        folder: where its review.json lies; None for the session's own.
    """

    id: str
    name: str
    path: Path
    origin: Origin
    rows: int
    columns: int
    file_pixel_size_mm: PixelSize | None
    given_pixel_size_mm: float | None
    laterality: str | None
    view: str | None
    study: str | None
    chest_wall: Literal["left", "right"] | None
    window: Window
    warnings: tuple[str, ...]
    dicom: bool
    thumbnail: bytes
    state: State = "ready"
    progress: tuple[str, int, int] | None = None
    error: str | None = None
    scanned: "ScannedImage | None" = None
    operating_point: float = 0.5
    details: "dict[int, Detail] | None" = None
    heatmap: Heatmap = "none"
    heatmap_png: bytes = b""
    key: str = ""
    folder: Path | None = None
    computing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pixel_size_mm(self) -> PixelSize | None:
        """Of the file, else as given; 85 um of an image of 60 x 60 pixels that has neither."""
        if self.file_pixel_size_mm:
            return self.file_pixel_size_mm
        if self.given_pixel_size_mm:
            return as_pixel_size(self.given_pixel_size_mm)
        return (TRUE_PIXEL_MM, TRUE_PIXEL_MM) if (self.rows, self.columns) == (PATCH_SIDE, PATCH_SIDE) else None

    @property
    def kind(self) -> Kind | None:
        """What the committee takes it for; None where that needs the pixel size."""
        size = self.pixel_size_mm
        if size is None:
            return None
        return "patch" if max(true_shape((self.rows, self.columns), size)) <= LARGEST_FIELD else "mammogram"

    @property
    def side(self) -> str:
        """Side and view, as far as they are known."""
        return " ".join(filter(None, (self.laterality, self.view)))

    def forget_findings(self) -> None:
        """Begin again, as the pixel size has changed."""
        self.scanned = self.details = self.progress = self.error = None
        self.heatmap, self.heatmap_png = "none", b""
        self.state = "ready" if self.pixel_size_mm else "needs_pixel_size"

    def entry(self) -> dict[str, Any]:
        """What the page is told."""
        return {
            "id": self.id,
            "name": self.name,
            "origin": self.origin,
            "kind": self.kind,
            "rows": self.rows,
            "columns": self.columns,
            "pixel_size_mm": self.pixel_size_mm,
            "laterality": self.laterality,
            "view": self.view,
            "study": self.study,
            "chest_wall": self.chest_wall,
            "window": {"center": self.window.center, "width": self.window.width},
            "warnings": self.warnings if self.scanned is None else self.scanned.warnings,
            "state": self.state,
            "progress": self.progress and dict(zip(("stage", "done", "total"), self.progress, strict=True)),
            "error": self.error,
            "tiles": {"size": TILE, "levels": count_levels(self.rows, self.columns)},
            "marks": self.scanned and sum(finding.marked for finding in self.scanned.findings),
            "dicom": self.dicom,
            "heatmap": self.heatmap,
        }


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image in memory: as it was read, and halved again and again, the smallest first."""

    mammogram: Mammogram
    levels: tuple[Greys, ...]

    @property
    def bytes(self) -> int:
        """Of its greys."""
        return sum(level.nbytes for level in self.levels)


class Images:
    """All images of the session, and the greys of those that were used last.

    One image is read at a time, so that twenty uploads at once take no more memory than one.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._images: dict[str, OpenImage] = {}
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._studies: dict[str, str] = {}
        self._cache_bytes = cache_bytes
        self._state, self._reading = threading.Lock(), threading.Lock()

    def all(self) -> list[OpenImage]:
        """In the order in which they were opened."""
        with self._state:
            return list(self._images.values())

    def get(self, identity: str) -> OpenImage | None:
        """The image of an id."""
        with self._state:
            return self._images.get(identity)

    def open(self, path: Path, name: str, origin: Origin, given: float | None = None) -> OpenImage:
        """Read an image and add it to the session.

        Raises:
            ImageError: it cannot be read; the line names it as the user does.
            RequestError: the pixel size is impossible.
        """
        if given is not None:
            as_pixel_size(given)
        with self._reading:
            loaded = _load(path, name)
            image = self._describe(path, name, origin, given, loaded)
            with self._state:
                self._images[image.id] = image
            self._keep(image, loaded)
        return image

    def load(self, image: OpenImage) -> Loaded:
        """The greys of an image, read again where they are no longer in memory.

        Raises:
            ImageError: its file has gone, or has changed.
        """
        if (known := self._known(image)) is not None:
            return known
        with self._reading:
            if (known := self._known(image)) is not None:
                return known
            loaded = _load(image.path, image.name)
            if loaded.mammogram.pixels.shape != (image.rows, image.columns):
                raise ImageError(f"{image.name}: has changed since it was opened; open it again")
            self._keep(image, loaded)
            return loaded

    def forget(self, image: OpenImage) -> None:
        """Leave an image out of the session, and delete its file where it was uploaded."""
        with self._state:
            self._images.pop(image.id, None)
            self._loaded.pop(image.id, None)
        if image.origin == "upload":
            image.path.unlink(missing_ok=True)

    def _known(self, image: OpenImage) -> Loaded | None:
        with self._state:
            if image.id in self._loaded:
                self._loaded.move_to_end(image.id)
            return self._loaded.get(image.id)

    def _keep(self, image: OpenImage, loaded: Loaded) -> None:
        with self._state:
            if image.id not in self._images:  # it was forgotten meanwhile
                return
            self._loaded[image.id] = loaded
            while len(self._loaded) > 1 and sum(each.bytes for each in self._loaded.values()) > self._cache_bytes:
                self._loaded.popitem(last=False)

    def _describe(self, path: Path, name: str, origin: Origin, given: float | None, loaded: Loaded) -> OpenImage:
        mammogram, smallest = loaded.mammogram, loaded.levels[0]
        window = default_window(smallest)
        with path.open("rb") as file:
            dicom = file_kind(file.read(HEAD)) == "DICOM"
        image = OpenImage(
            id=secrets.token_urlsafe(9),
            name=name,
            path=path,
            origin=origin,
            rows=mammogram.pixels.shape[0],
            columns=mammogram.pixels.shape[1],
            file_pixel_size_mm=mammogram.pixel_size_mm,
            given_pixel_size_mm=given if mammogram.pixel_size_mm is None else None,
            laterality=mammogram.laterality if mammogram.laterality in ("L", "R") else None,
            view=mammogram.view,
            study=self._study(path) if dicom else None,
            chest_wall=chest_wall(mammogram.orientation, smallest),
            window=window,
            warnings=mammogram.warnings,
            dicom=dicom,
            thumbnail=encode(window.applied(smallest), "jpg"),
            key=name,
        )
        image.forget_findings()
        return image

    def _study(self, path: Path) -> str | None:
        """A name for the DICOM study of a file that holds nothing of the file."""
        from microcalc.dicom.source import read_source

        with contextlib.suppress(ImageError):
            uid = str(read_source(path).header.StudyInstanceUID)
            return self._studies.setdefault(uid, f"study-{len(self._studies) + 1}")
        return None


def _load(path: Path, name: str) -> Loaded:
    try:
        mammogram = read_mammogram(path)
    except ImageError as error:
        raise ImageError(renamed(error, path, name)) from None
    return Loaded(replace(mammogram, padding=None), build_levels(mammogram.pixels))


def renamed(error: MicrocalcError, path: Path, name: str) -> str:
    """An error's line with the user's name of a file instead of its path."""
    return str(error).replace(str(path), name)


def clean_name(given: str) -> str:
    """What a browser calls a file, without folders and without letters that steer a terminal or a header.

    >>> clean_name("C:\\\\scans\\\\a\\n.dcm"), clean_name("../../etc/passwd"), clean_name("..")
    ('a.dcm', 'passwd', 'image')
    """
    last = given.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    return name[-LONGEST_NAME:] or "image"


def chest_wall(orientation: tuple[str, str] | None, greys: Greys) -> Literal["left", "right"] | None:
    """The side of the chest wall: where rows begin or end in the patient, else where the tissue touches the edge most.

    >>> greys = np.zeros((9, 9), np.float32)
    >>> greys[2:7, :4] = 0.5
    >>> chest_wall(None, greys), chest_wall(("P", "F"), greys)
    ('left', 'right')
    """
    for direction, side in (("A", "left"), ("P", "right")):
        if orientation and orientation[0].startswith(direction):
            return "left" if side == "left" else "right"
    tissue = greys > 0.5 * float(np.mean(greys)) + 1e-6
    strip = max(math.ceil(greys.shape[1] / 50), 1)
    left, right = float(tissue[:, :strip].mean()), float(tissue[:, -strip:].mean())
    if abs(left - right) < 0.1:
        return None
    return "left" if left > right else "right"
