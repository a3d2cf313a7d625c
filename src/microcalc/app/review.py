"""Reviews of findings: accepted or rejected, with a note, in review.json beside the scan."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from microcalc.app.open_image import OpenImage
from microcalc.files import locked, read_record, write_json
from microcalc.mammograms.findings import Finding, ScannedImage

FILE = "review.json"
LOCK = ".review.lock"
LOCK_SECONDS = 10.0
LONGEST_NOTE = 4000

Verdict = Literal["accepted", "rejected"]
Note = Annotated[str, Field(max_length=LONGEST_NOTE)]
Key = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """An opinion on a finding.

    Attributes:
        box_px: box of the finding, which another finding of that number does not share.
        verdict: None where there is only a note.
        note: of the reader.
        at: time at which it was given.
    """

    box_px: tuple[int, int, int, int]
    verdict: Verdict | None = None
    note: Note = ""
    at: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class Review(Opinion):
    """The review of one finding: the opinion that counts, and those before it.

    Attributes:
        file: name of the image, for people; nothing is matched by it.
        sop_instance_uid: of the image.
        pixels_sha256: of the image.
        number: of the finding.
        history: earlier opinions, the oldest first.
    """

    file: str
    sop_instance_uid: str | None
    pixels_sha256: str
    number: int
    history: tuple[Opinion, ...] = ()

    @property
    def key(self) -> Key:
        """Image and number of the finding."""
        return self.sop_instance_uid or self.pixels_sha256, self.number

    @property
    def opinions(self) -> tuple[Opinion, ...]:
        """All opinions, the one that counts last."""
        return *self.history, Opinion(box_px=self.box_px, verdict=self.verdict, note=self.note, at=self.at)


@dataclass(frozen=True)
class ReviewFile:
    """The content of ``review.json``."""

    schema: Literal[2]
    reviews: tuple[Review, ...]


class Reviews:
    """All reviews of the session; those of a finished scan are written to its folder at once."""

    def __init__(self) -> None:
        self._kept: dict[Path | None, dict[Key, Review]] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._own: dict[tuple[Path | None, Key], Review] = {}
        self._lock = threading.Lock()

    def read_folder(self, folder: Path) -> None:
        """Take over the reviews beside a scan.

        Raises:
            RequestError: the file there is no review.json.
        """
        with self._lock:
            self._current(folder)

    def add(self, reviews: Iterable[Review], image: OpenImage) -> None:
        """Take over the reviews of an image from a dropped review.json; of two on one finding the later counts."""
        with self._lock, self._changing(image.folder) as kept:
            for review in reviews:
                if review.key[0] == image.identity:
                    kept[review.key] = join(kept.get(review.key, review), review)

    def get(self, image: OpenImage, finding: Finding) -> Review | None:
        """Return the review of a finding; None where there is none of this very finding."""
        with self._lock:
            review = self._current(image.folder).get((image.identity, finding.number))
        return review if review and review.box_px == finding.box_px else None

    def put(self, image: OpenImage, finding: Finding, verdict: Verdict | None, note: str) -> None:
        """Keep a review, and write it.

        Another verdict before it stays in its history, and so does what another reader has written meanwhile.

        Raises:
            RequestError: another process writes the file, or it has become no review.json.
            FailedError: the folder cannot be written.
        """
        review = Review(
            box_px=finding.box_px,
            verdict=verdict,
            note=note,
            at=datetime.now(UTC),
            file=os.fsencode(image.scanned.file if image.scanned else image.name).decode(errors="backslashreplace"),
            sop_instance_uid=image.sop_instance_uid,
            pixels_sha256=image.pixels_sha256,
            number=finding.number,
        )
        with self._lock:
            own = self._own.get((image.folder, review.key))
            with self._changing(image.folder) as kept:
                before = kept.get(review.key)
                if before is None:
                    kept[review.key] = review
                elif before == own and before.verdict == verdict:  # the same reader goes on with the note
                    kept[review.key] = replace(review, history=before.history)
                else:
                    kept[review.key] = join(before, replace(review, at=max(before.at, review.at)))
                self._own[image.folder, review.key] = kept[review.key]

    def rejected(self, image: OpenImage, scanned: ScannedImage) -> set[int]:
        """Return the numbers of the findings of an image that its reader has rejected."""
        reviews = (self.get(image, finding) for finding in scanned.findings)
        return {review.number for review in reviews if review and review.verdict == "rejected"}

    def of_images(self, images: Iterable[OpenImage]) -> list[Review]:
        """Return the reviews of the findings of some images, by the names that the user gave them."""
        reviews = (
            (image, self.get(image, finding))
            for image in images
            for finding in (image.scanned.findings if image.scanned else ())
        )
        return [replace(review, file=image.name) for image, review in reviews if review is not None]

    def _current(self, folder: Path | None) -> dict[Key, Review]:
        """Return the reviews of a folder, read again where another reader has written its file."""
        if folder is None:
            return self._kept.setdefault(None, {})
        status = (folder / FILE).stat() if (folder / FILE).exists() else None
        stamp = (status.st_mtime_ns, status.st_ino) if status else (0, 0)
        if self._stamps.get(folder) != stamp:
            self._kept[folder], self._stamps[folder] = read_reviews(folder), stamp
        return self._kept[folder]

    @contextmanager
    def _changing(self, folder: Path | None) -> Iterator[dict[Key, Review]]:
        """Give the reviews of a folder as its file now has them, and write what the caller makes of them."""
        if folder is None:
            yield self._current(None)
            return
        with locked(folder / LOCK, LOCK_SECONDS):
            kept = read_reviews(folder)
            yield kept
            write_json(folder / FILE, plain_reviews(kept.values()))


def join(one: Review, other: Review) -> Review:
    """Return one review with all opinions of two on the same finding; the latest counts."""
    *history, latest = sorted(dict.fromkeys(one.opinions + other.opinions), key=lambda opinion: opinion.at)
    return replace(other, **vars(latest), history=tuple(history))


def plain_reviews(reviews: Iterable[Review]) -> Any:
    """Return the content of a review.json as plain values.

    >>> plain_reviews([])
    {'schema': 2, 'reviews': []}
    """
    return TypeAdapter(ReviewFile).dump_python(
        ReviewFile(2, tuple(sorted(reviews, key=lambda review: review.key))), mode="json"
    )


def read_reviews(folder: Path) -> dict[Key, Review]:
    """Read the review.json of a folder; empty where there is none.

    Raises:
        RequestError: the file there is no review.json.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    return {review.key: review for review in read_record(path, ReviewFile, "move it away to begin anew").reviews}
