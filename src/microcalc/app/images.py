"""The images of a session, and the greys of the few that were used last."""

import contextlib
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from microcalc.app.open_image import OpenImage, Origin, chest_wall, renamed
from microcalc.app.tiles import Greys, build_levels, default_window, encode
from microcalc.errors import ImageError
from microcalc.images import Mammogram, read_mammogram
from microcalc.images.reader import HEAD, file_kind
from microcalc.images.resample import as_pixel_size

CACHE_BYTES = 512 * 2**20
"""Most bytes of greys that are kept: seven mammograms of 12 megapixels."""


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
