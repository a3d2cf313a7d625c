"""Reviews in review.json beside the scan: verdicts on findings, and the reading of each image."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from microcalc.app.open_image import OpenImage
from microcalc.files import locked, read_record, write_json
from microcalc.mammograms.findings import Finding, Point, ScannedImage

FILE = "review.json"
LOCK = ".review.lock"
LOCK_SECONDS = 10.0
LONGEST_NOTE = 4000
MOST_DRAWN = 100

Verdict = Literal["accepted", "rejected"]
Note = Annotated[str, Field(max_length=LONGEST_NOTE)]
Box = tuple[int, int, int, int]
Key = tuple[str, int]
"""Image, and number of the finding; 0 for the reading of the image itself."""


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """An opinion on a finding.

    Attributes:
        box_px: box of the finding, which another finding of that number does not share.
        verdict: None where there is only a note.
        note: of the reader.
        at: time at which it was given.
    """

    box_px: Box
    verdict: Verdict | None = None
    note: Note = ""
    at: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of a reader on an image, but for the verdicts on its findings.

    Attributes:
        read: whether the reader has finished; an image without an accepted finding and a drawn cluster then is normal.
        clusters_px: left, top, right and bottom of each cluster that the scan missed, as the reader drew it.
        rulers_px: both ends of each length that the reader measured, (column, row).
        seconds: that the image was on the screen until it was read.
        marks_shown: whether marks of the scan were on the picture by then.
    """

    read: bool = False
    clusters_px: Annotated[tuple[Box, ...], Field(max_length=MOST_DRAWN)] = ()
    rulers_px: Annotated[tuple[tuple[Point, Point], ...], Field(max_length=MOST_DRAWN)] = ()
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    marks_shown: bool = False


WORK = tuple(field.name for field in fields(Work))


@dataclass(frozen=True, kw_only=True)
class Reading(Work):
    """The work of a reader, with the time of its last change."""

    at: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class OfImage:
    """The image that an entry of ``review.json`` belongs to.

    Attributes:
        file: name of the image, for people; nothing is matched by it.
        sop_instance_uid: of the image.
        pixels_sha256: of the image.
    """

    file: str
    sop_instance_uid: str | None
    pixels_sha256: str

    @property
    def identity(self) -> str:
        """The SOP Instance UID, or else the hash of the pixels."""
        return self.sop_instance_uid or self.pixels_sha256


@dataclass(frozen=True, kw_only=True)
class Review(Opinion, OfImage):
    """The review of one finding: the opinion that counts, and those before it.

    Attributes:
        number: of the finding.
        history: earlier opinions, the oldest first.
    """

    number: int
    history: tuple[Opinion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageReview(Reading, OfImage):
    """The reading of an image that counts, and those before it: by other readers, or without marks."""

    number: ClassVar[int] = 0
    history: tuple[Reading, ...] = ()


Entry = Review | ImageReview


@dataclass(frozen=True)
class ReviewFile:
    """The content of ``review.json``."""

    schema: Literal[2]
    reviews: tuple[Review, ...]
    images: tuple[ImageReview, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Verdicts and readings."""
        return *self.reviews, *self.images


class Reviews:
    """All reviews of the session; those of a finished scan are written to its folder at once."""

    def __init__(self) -> None:
        self._kept: dict[Path | None, dict[Key, Entry]] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._own: dict[tuple[Path | None, Key], Entry] = {}
        self._lock = threading.Lock()

    def read_folder(self, folder: Path) -> None:
        """Take over the reviews beside a scan.

        Raises:
            RequestError: the file there is no review.json.
        """
        with self._lock:
            self._current(folder)

    def add(self, entries: Iterable[Entry], image: OpenImage) -> None:
        """Take over the entries of an image from a dropped review.json; of two on one finding the later counts."""
        with self._lock, self._changing(image.folder) as kept:
            for entry in entries:
                if entry.identity == image.identity:
                    kept[key_of(entry)] = join(kept.get(key_of(entry), entry), entry)

    def get(self, image: OpenImage, finding: Finding) -> Review | None:
        """Return the review of a finding; None where there is none of this very finding."""
        review = self._get(image, finding.number)
        return review if isinstance(review, Review) and review.box_px == finding.box_px else None

    def reading(self, image: OpenImage) -> ImageReview | None:
        """Return the reading of an image."""
        reading = self._get(image, ImageReview.number)
        return reading if isinstance(reading, ImageReview) else None

    def _get(self, image: OpenImage, number: int) -> Entry | None:
        with self._lock:
            return self._current(image.folder).get((image.identity, number))

    def put(self, image: OpenImage, finding: Finding, verdict: Verdict | None, note: str) -> None:
        """Keep a review, and write it.

        Another verdict before it stays in its history, and so does what another reader has written meanwhile.

        Raises:
            RequestError: another process writes the file, or it has become no review.json.
            FailedError: the folder cannot be written.
        """
        about = {"box_px": finding.box_px, "number": finding.number, **_known(image)}
        self._put(image, Review(**about, verdict=verdict, note=note, at=datetime.now(UTC)))

    def put_reading(self, image: OpenImage, work: Work) -> None:
        """Keep the reading of an image; see :meth:`put` for errors.

        One that another reader has written meanwhile stays in its history, and so does one without marks on the
        picture: the difference is what the scan has added.
        """
        self._put(image, ImageReview(**vars(work), **_known(image), at=datetime.now(UTC)))

    def _put(self, image: OpenImage, entry: Entry) -> None:
        key = key_of(entry)
        with self._lock:
            own = self._own.get((image.folder, key))
            with self._changing(image.folder) as kept:
                before = kept.get(key)
                if before is None:
                    kept[key] = entry
                elif before == own and goes_on(before, entry):
                    kept[key] = replace(entry, history=before.history)  # type: ignore[arg-type]
                else:
                    kept[key] = join(before, replace(entry, at=max(before.at, entry.at)))
                self._own[image.folder, key] = kept[key]

    def rejected(self, image: OpenImage, scanned: ScannedImage) -> set[int]:
        """Return the numbers of the findings of an image that its reader has rejected."""
        reviews = (self.get(image, finding) for finding in scanned.findings)
        return {review.number for review in reviews if review and review.verdict == "rejected"}

    def of_images(self, images: Iterable[OpenImage]) -> list[Entry]:
        """Return the reviews and readings of some images, by the names that the user gave them."""
        entries = (
            (image, entry)
            for image in images
            for entry in (
                self.reading(image),
                *(self.get(image, finding) for finding in (image.scanned.findings if image.scanned else ())),
            )
        )
        return [replace(entry, file=image.name) for image, entry in entries if entry is not None]

    def _current(self, folder: Path | None) -> dict[Key, Entry]:
        """Return the reviews of a folder, read again where another reader has written its file."""
        if folder is None:
            return self._kept.setdefault(None, {})
        status = (folder / FILE).stat() if (folder / FILE).exists() else None
        stamp = (status.st_mtime_ns, status.st_ino) if status else (0, 0)
        if self._stamps.get(folder) != stamp:
            self._kept[folder], self._stamps[folder] = read_reviews(folder), stamp
        return self._kept[folder]

    @contextmanager
    def _changing(self, folder: Path | None) -> Iterator[dict[Key, Entry]]:
        """Give the reviews of a folder as its file now has them, and write what the caller makes of them."""
        if folder is None:
            yield self._current(None)
            return
        with locked(folder / LOCK, LOCK_SECONDS):
            kept = read_reviews(folder)
            yield kept
            write_json(folder / FILE, plain_reviews(kept.values()))


def key_of(entry: Entry) -> Key:
    """Return image and number of an entry."""
    return entry.identity, entry.number


def goes_on(before: Entry, entry: Entry) -> bool:
    """Return whether the same reader only goes on: with a note, or with the reading of an image."""
    if isinstance(before, ImageReview) and isinstance(entry, ImageReview):
        return not before.read or before.marks_shown == entry.marks_shown
    return isinstance(before, Review) and isinstance(entry, Review) and before.verdict == entry.verdict


def join(one: Entry, other: Entry) -> Entry:
    """Return one entry with all opinions on a finding, or readings of an image, of two; the latest counts."""
    kind = Opinion if isinstance(one, Review) else Reading
    names = [field.name for field in fields(kind)]
    opinions = [
        part
        for entry in (one, other)
        for part in (*entry.history, kind(**{name: getattr(entry, name) for name in names}))
    ]
    *history, latest = sorted(dict.fromkeys(opinions), key=lambda opinion: opinion.at)
    return replace(other, **vars(latest), history=tuple(history))  # type: ignore[arg-type]


def plain_reviews(entries: Iterable[Entry]) -> Any:
    """Return the content of a review.json as plain values.

    >>> plain_reviews([])
    {'schema': 2, 'reviews': [], 'images': []}
    """
    entries = sorted(entries, key=key_of)
    reviews = tuple(entry for entry in entries if isinstance(entry, Review))
    images = tuple(entry for entry in entries if isinstance(entry, ImageReview))
    return TypeAdapter(ReviewFile).dump_python(ReviewFile(2, reviews, images), mode="json")


def read_reviews(folder: Path) -> dict[Key, Entry]:
    """Read the review.json of a folder; empty where there is none.

    Raises:
        RequestError: the file there is no review.json.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    return {key_of(entry): entry for entry in read_record(path, ReviewFile, "move it away to begin anew").entries}


def _known(image: OpenImage) -> dict[str, Any]:
    """Return the fields of :class:`OfImage`."""
    file = os.fsencode(image.scanned.file if image.scanned else image.name).decode(errors="backslashreplace")
    return {"file": file, "sop_instance_uid": image.sop_instance_uid, "pixels_sha256": image.pixels_sha256}
