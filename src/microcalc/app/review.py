"""What a reader thinks of findings: accepted or rejected, with a note, in review.json beside the scan."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from microcalc.app.open_image import OpenImage
from microcalc.errors import RequestError
from microcalc.files import fits, read_json, write_json
from microcalc.mammograms.findings import Finding

FILE = "review.json"
LONGEST_NOTE = 4000

Verdict = Literal["accepted", "rejected"]
Key = tuple[str, int]
_ENTRY = {"file": str, "number": int, "box_px": [int], "note": str}


@dataclass(frozen=True)
class Review:
    """Of one finding.

    Attributes:
        box_px: of the finding, by which a review of another scan is told.
        verdict: None where only a note was written.
        note: of the reader.
    """

    box_px: tuple[int, ...]
    verdict: Verdict | None
    note: str


class Reviews:
    """All reviews of the session, each written at once to the folder that it belongs to.

    Args:
        folder: for reviews of images that lie in no scan's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._own = folder
        self._folders: dict[Path, dict[Key, Review]] = {}
        self._lock = threading.Lock()

    def read_folder(self, folder: Path) -> None:
        """Take over the reviews beside a scan.

        Raises:
            RequestError: the file there is no review.json.
        """
        path = folder / FILE
        if path.exists():
            read = parse_reviews(read_json(path, "remove it to begin anew"), str(path))
            with self._lock:
                self._folders[folder] = read

    def add(self, reviews: dict[Key, Review], image: OpenImage) -> None:
        """Take over the reviews of an image from a dropped review.json."""
        with self._lock:
            mine = self._of(image)
            mine |= {(image.key, number): review for (file, number), review in reviews.items() if file == image.name}

    def get(self, image: OpenImage, finding: Finding) -> Review:
        """The review of a finding; an empty one where there is none of this very finding."""
        with self._lock:
            review = self._of(image).get((image.key, finding.number))
        return review if review and review.box_px == finding.box_px else Review(finding.box_px, None, "")

    def put(self, image: OpenImage, finding: Finding, verdict: Verdict | None, note: str) -> None:
        """Keep a review, and write it.

        Raises:
            FailedError: the folder cannot be written.
        """
        folder = image.folder or self._own
        with self._lock:
            kept = {**self._of(image), (image.key, finding.number): Review(finding.box_px, verdict, note)}
            write_json(folder / FILE, plain_reviews(kept))
            self._folders[folder] = kept

    def of_images(self, images: Iterable[OpenImage]) -> dict[Key, Review]:
        """The reviews of some images, by the names that the user gave them."""
        found = {}
        for image in images:
            for finding in image.scanned.findings if image.scanned else ():
                review = self.get(image, finding)
                if review.verdict or review.note:
                    found[image.name, finding.number] = review
        return found

    def _of(self, image: OpenImage) -> dict[Key, Review]:
        return self._folders.setdefault(image.folder or self._own, {})


def plain_reviews(reviews: dict[Key, Review]) -> dict[str, Any]:
    """What review.json holds."""
    entries = [
        {"file": file, "number": number, "box_px": review.box_px, "verdict": review.verdict, "note": review.note}
        for (file, number), review in sorted(reviews.items())
    ]
    return {"schema": 1, "reviews": entries}


def parse_reviews(saved: Any, name: str = FILE) -> dict[Key, Review]:
    """Read what :func:`plain_reviews` made, from JSON that anybody may have written.

    Raises:
        RequestError: it is no review.json.

    >>> parse_reviews({"schema": 1, "reviews": []})
    {}
    """
    entries = saved.get("reviews") if isinstance(saved, dict) and saved.get("schema") == 1 else None
    if not isinstance(entries, list) or not all(map(_fits, entries)):
        raise RequestError(f"{name}: is no review.json of microcalc; leave it out")
    return {
        (entry["file"], entry["number"]): Review(tuple(entry["box_px"]), entry["verdict"], entry["note"][:LONGEST_NOTE])
        for entry in entries
    }


def _fits(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("verdict", "") not in (None, "accepted", "rejected"):
        return False
    return fits({name: value for name, value in entry.items() if name != "verdict"}, _ENTRY)
