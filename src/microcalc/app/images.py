"""The images of a session, and the greys of the few that were used last."""

import contextlib
import secrets
import tempfile
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np

from microcalc.app.open_image import OpenImage, Origin, chest_wall, free_name
from microcalc.app.tiles import Greys, build_levels, default_window
from microcalc.errors import ImageError, naming
from microcalc.images import Mammogram, read_mammogram
from microcalc.images.pictures import encode
from microcalc.images.reader import HEAD, file_kind
from microcalc.images.resample import as_pixel_size
from microcalc.mammograms.truth import TrueImage, Truth

KEPT = 5
"""Images whose reduced greys are kept, 8 MB at 12 megapixels: both views of both sides are shown together."""

SHRINK = 4
"""From the smallest level of an image to its thumbnail, which a list of 500 shows at once."""


class Images:
    """All images of the session, the greys of those that were looked at last, and the one that was read last.

    One image is read at a time, so that twenty uploads at once take no more memory than one.

    Args:
        folder: for greys of full size.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[str, OpenImage] = {}
        self._levels: OrderedDict[str, tuple[Greys, ...]] = OrderedDict()
        self._last_read: tuple[str, Mammogram] | None = None
        self._studies: dict[str, str] = {}
        self._truth: dict[str, TrueImage] = {}
        self._state, self._reading = threading.Lock(), threading.Lock()

    def all(self) -> list[OpenImage]:
        """In the order in which they were opened."""
        with self._state:
            return list(self._images.values())

    def get(self, identity: str) -> OpenImage | None:
        """The image of an id."""
        with self._state:
            return self._images.get(identity)

    def add_truth(self, truth: Truth) -> None:
        """Show the truth with images that are opened from now on, and take their pixel size from it."""
        self._truth |= {image.pixels_sha256: image for image in truth.images}

    def open(self, path: Path, name: str, origin: Origin, given: float | None = None) -> OpenImage:
        """Read an image and add it to the session.

        Raises:
            ImageError: it cannot be read; the line names it as the user does.
            RequestError: the pixel size is impossible.
        """
        if given is not None:
            as_pixel_size(given)
        with self._reading:
            mammogram = _read(path, name)
            hashing = threading.Thread(target=lambda: mammogram.pixels_sha256)  # beside the other work: it takes long
            hashing.start()
            name = free_name(name, (image.name for image in self.all()))
            levels = self._build(mammogram)
            hashing.join()
            image = self._describe(path, name, origin, given, mammogram, levels[0])
            with self._state:
                self._images[image.id] = image
            self._keep(image, mammogram, levels)
        return image

    def read(self, image: OpenImage) -> Mammogram:
        """An image as its file has it, read again unless it was the last one that was read.

        Raises:
            ImageError: its file has gone, or has changed.
        """
        with self._reading:
            return self._read_again(image)

    def levels(self, image: OpenImage) -> tuple[Greys, ...]:
        """The greys of an image, see :func:`microcalc.app.tiles.build_levels`.

        Raises:
            ImageError: its file has gone, or has changed.
        """
        if (known := self._known(image)) is not None:
            return known
        with self._reading:
            if (known := self._known(image)) is not None:
                return known
            mammogram = self._read_again(image)
            levels = self._build(mammogram)
            self._keep(image, mammogram, levels)
            return levels

    def _read_again(self, image: OpenImage) -> Mammogram:
        last = self._last_read  # another thread may forget it meanwhile
        if last is not None and last[0] == image.id:
            return last[1]
        self._last_read = last = None  # two of them need not be in memory
        mammogram = _read(image.path, image.name)
        if mammogram.pixels_sha256 != image.pixels_sha256:
            raise ImageError("has changed since it was opened; open it again", image.name)
        self._last_read = image.id, mammogram
        return mammogram

    def forget(self, image: OpenImage) -> None:
        """Leave an image out of the session, and delete its file where it was uploaded."""
        with self._state:
            self._images.pop(image.id, None)
            self._levels.pop(image.id, None)
            last = self._last_read  # another thread may read an image meanwhile
            if last is not None and last[0] == image.id:
                self._last_read = None
        if image.origin == "upload":
            image.path.unlink(missing_ok=True)

    def _known(self, image: OpenImage) -> tuple[Greys, ...] | None:
        with self._state:
            if image.id in self._levels:
                self._levels.move_to_end(image.id)
            return self._levels.get(image.id)

    def _build(self, mammogram: Mammogram) -> tuple[Greys, ...]:
        """The levels; that of full size as a file without a name, which the system reads where a tile is cut."""
        *reduced, full = build_levels(mammogram.pixels)
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=self._folder) as file:
            full.tofile(file)
            full = np.memmap(file, full.dtype, "r", shape=full.shape)
        return (*reduced, full)

    def _keep(self, image: OpenImage, mammogram: Mammogram, levels: tuple[Greys, ...]) -> None:
        with self._state:
            if image.id not in self._images:  # it was forgotten meanwhile
                return
            self._last_read = image.id, mammogram
            self._levels[image.id] = levels
            if len(self._levels) > KEPT:
                self._levels.popitem(last=False)

    def _describe(
        self, path: Path, name: str, origin: Origin, given: float | None, mammogram: Mammogram, smallest: Greys
    ) -> OpenImage:
        window = default_window(smallest)
        truth = self._truth.get(mammogram.pixels_sha256)
        with path.open("rb") as file:
            dicom = file_kind(file.read(HEAD)) == "DICOM"
        image = OpenImage(
            id=secrets.token_urlsafe(9),
            name=name,
            path=path,
            origin=origin,
            rows=mammogram.pixels.shape[0],
            columns=mammogram.pixels.shape[1],
            file_pixel_size_mm=mammogram.pixel_size_mm or (truth.pixel_size_mm if truth else None),
            given_pixel_size_mm=given if mammogram.pixel_size_mm is None else None,
            laterality=mammogram.side,
            view=mammogram.view,
            study=self._study(mammogram),
            patient=mammogram.patient,
            chest_wall=chest_wall(mammogram.orientation, smallest),
            window=window,
            file_values=mammogram.file_values,
            warnings=mammogram.warnings,
            dicom=dicom,
            sop_instance_uid=mammogram.sop_instance_uid,
            pixels_sha256=mammogram.pixels_sha256,
            truth=truth.clusters if truth else None,
            thumbnail=encode(window.applied(smallest[::SHRINK, ::SHRINK]), "jpg"),
        )
        image.forget_findings()
        return image

    def _study(self, mammogram: Mammogram) -> str | None:
        """A name for the DICOM study of an image that holds nothing of the file."""
        if mammogram.study is None:
            return None
        return self._studies.setdefault(mammogram.study, f"study-{len(self._studies) + 1}")


def _read(path: Path, name: str) -> Mammogram:
    with naming(name):
        return replace(read_mammogram(path, name), padding=None)
