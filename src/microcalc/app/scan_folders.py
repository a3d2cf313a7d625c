"""The paths of the command line: images, finished scans and runs; and scans that are dropped on the page."""

import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microcalc.app.open_image import BUSY, OpenImage, clean_name
from microcalc.app.review import ReviewFile
from microcalc.app.session import Session
from microcalc.errors import MicrocalcError, RequestError
from microcalc.files import checked, read_record
from microcalc.images import find_images
from microcalc.mammograms.findings import Scan, ScannedImage
from microcalc.mammograms.truth import FILE as TRUTH
from microcalc.mammograms.truth import Truth

ADVICE = "give the --out of a finished scan"


@dataclass(frozen=True)
class Places:
    """The paths of a command line, by their kind.

    Attributes:
        images: files that are to be opened.
        scans: folders of finished scans.
        runs: run directories.
        truths: files of known truth beside some of the images.
    """

    images: tuple[Path, ...]
    scans: tuple[Path, ...]
    runs: tuple[Path, ...]
    truths: tuple[Path, ...]


def sort_paths(paths: Iterable[Path]) -> Places:
    """Sort paths into images, folders of images, finished scans and runs.

    Raises:
        RequestError: a path does not exist, or holds none of these.
        FailedError: a folder cannot be listed.
    """
    images: list[Path] = []
    scans, runs, truths = [], [], []
    for path in paths:
        if (path / "findings.json").is_file():
            scans.append(path)
        elif (path / "report.html").is_file():
            runs.append(path)
        elif path.is_dir():
            truths += [path / TRUTH] if (path / TRUTH).is_file() else []
            found = find_images(path).files
            if not found:
                raise RequestError(f"{path}: holds no image, no finished scan (findings.json) and no run (report.html)")
            images += found
        elif path.exists():
            images.append(path)
        else:
            raise RequestError(f"{path}: does not exist; name images, folders of them, finished scans or runs")
    return Places(tuple(images), tuple(scans), tuple(runs), tuple(truths))


def open_places(session: Session, places: Places) -> threading.Thread:
    """Open what a command line names, its images in a thread, one after the other, so that the page need not wait.

    Raises:
        RequestError: a scan or a run is not what it should be.
    """
    session.runs = places.runs
    scans = [(folder, read_record(folder / "findings.json", Scan, ADVICE)) for folder in places.scans]
    for path in places.truths:
        session.images.add_truth(read_record(path, Truth, "leave it out, or make the phantom again"))
    for folder in places.scans:
        session.reviews.read_folder(folder)
    session.opening = len(places.images) + sum(len(scan.images) for _, scan in scans)
    work = threading.Thread(target=_open_all, args=(session, places.images, scans), daemon=True)
    work.start()
    return work


def attach_findings(session: Session, findings: Any, review: Any) -> dict[str, list[str]]:
    """Join the findings of a dropped scan, and their reviews, to the images that they were found in.

    Images that are being scanned are left out.

    Returns:
        The ids of those images as ``attached``, and the names of the others as ``missing``.

    Raises:
        RequestError: either is not what its name says.
    """
    scan = checked(Scan, findings, "findings.json")
    reviews = checked(ReviewFile, review, "review.json").reviews if review else ()
    free = [image for image in session.images.all() if image.state not in BUSY]
    attached, missing = [], []
    for scanned in scan.images:
        images = [image for image in free if scanned.is_of(image)]
        if not images:
            missing.append(clean_name(scanned.file))
        for image in images:
            _attach(image, scanned, scan.operating_point)
            session.reviews.add(reviews, image)
            attached.append(image.id)
    return {"attached": attached, "missing": missing}


def _attach(image: OpenImage, scanned: ScannedImage, operating_point: float) -> None:
    if image.file_pixel_size_mm is None:
        image.file_pixel_size_mm = scanned.pixel_size_mm
    image.forget_findings()
    image.scanned, image.operating_point, image.state = scanned, operating_point, "scanned"


def _open_all(session: Session, images: Sequence[Path], scans: Sequence[tuple[Path, Scan]]) -> None:
    for path in images:
        with _one_less(session):
            session.images.open(path, clean_name(path.name), "folder", session.settings.pixel_size_mm)
    for folder, scan in scans:
        for scanned in scan.images:
            with _one_less(session):
                image = session.images.open(folder / scanned.file, clean_name(scanned.file), "scan")
                if not scanned.is_of(image):
                    session.images.forget(image)
                    raise RequestError(f"{image.name}: is not the image that was scanned; scan it again")
                image.folder = folder
                _attach(image, scanned, scan.operating_point)


@contextlib.contextmanager
def _one_less(session: Session) -> Any:
    try:
        yield
    except MicrocalcError as error:
        session.problems.append(str(error))
    except Exception as error:  # the others are to be opened all the same
        session.problems.append(f"an image could not be opened (unexpected {type(error).__name__})")
    finally:
        session.opening -= 1
