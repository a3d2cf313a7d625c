"""The paths of the command line: images, finished scans and runs; and scans that are dropped on the page."""

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from microcalc.app.open_image import BUSY, OpenImage, clean_name
from microcalc.app.review import ReviewFile
from microcalc.app.session import REPORTS, Session
from microcalc.errors import MicrocalcError, RequestError
from microcalc.files import checked, read_record
from microcalc.images import find_images
from microcalc.mammograms.findings import Scan, ScannedImage
from microcalc.mammograms.truth import FILE as TRUTH
from microcalc.mammograms.truth import Truth

_counting = threading.Lock()


def open_paths(session: Session, paths: Iterable[Path]) -> threading.Thread:
    """Open images, folders of images, finished scans and runs.

    The images are opened in a thread, one after the other, so that the page need not wait: those of finished scans
    first, and none of them once more where its folder is named, too.

    Raises:
        RequestError: a path does not exist, holds none of these, or is no longer what it was.
        FailedError: a folder cannot be listed.
    """
    scanned_ones: list[Callable[[], object]] = []
    others: list[Callable[[], object]] = []
    opened: set[Path] = set()
    for path in paths:
        is_report = any((path / name).is_file() for name in REPORTS)
        if is_report or (path / "findings.json").is_file():
            session.reported.append(path)
        if (path / "findings.json").is_file():
            scan = Scan.read(path)
            session.reviews.read_folder(path)
            scanned_ones += [partial(_open_scanned, session, path, scanned, scan, opened) for scanned in scan.images]
        elif is_report:
            continue
        elif path.exists():
            if (path / TRUTH).is_file():
                truth = read_record(path / TRUTH, Truth, "leave it out, or make the phantom again")
                session.images.add_truth(truth)
            images = find_images(path).files if path.is_dir() else [path]
            if not images:
                raise RequestError(f"{path}: holds no image, no finished scan (findings.json) and no run (report.html)")
            others += [partial(_open_named, session, each, opened) for each in images]
        else:
            raise RequestError(f"{path}: does not exist; name images, folders of them, finished scans or runs")
    return open_later(session, scanned_ones + others)


def open_later(session: Session, jobs: Sequence[Callable[[], object]]) -> threading.Thread:
    """Open images in a thread, one after the other; the session counts them, and keeps their errors."""
    with _counting:
        session.opening += len(jobs)
    work = threading.Thread(target=_do_all, args=(session, jobs), daemon=True)
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
    scan = checked(Scan, findings, "findings.json", "ignore")
    reviews = checked(ReviewFile, review, "review.json", "ignore").entries if review else ()
    free = [image for image in session.images.all() if image.state not in BUSY]
    attached, missing = [], []
    for scanned in scan.images:
        images = [image for image in free if scanned.is_of(image)]
        if not images:
            missing.append(clean_name(scanned.file))
        for image in images:
            _attach(image, scanned, scan)
            session.reviews.add(reviews, image)
            attached.append(image.id)
    return {"attached": attached, "missing": missing}


def mark_all(session: Session, operating_point: float) -> list[str]:
    """Mark the findings of all mammograms from another probability on, also in the folders of their finished scans.

    What a session of the viewer saved stays as it was saved.

    Returns:
        A line on each folder that was written.

    Raises:
        RequestError: a folder is no longer that of a finished scan, or another command works on it.
        FailedError: a folder cannot be written.
    """
    from microcalc.reader.marks import mark_again
    from microcalc.reader.store import RESULTS

    scanned = [image for image in session.images.all() if image.scanned and image.kind == "mammogram"]
    folders = sorted({image.folder for image in scanned if image.folder and (image.folder / RESULTS).exists()})
    lines = [f"{folder}: {mark_again(folder, operating_point)}" for folder in folders]
    for image in scanned:
        image.mark_from(operating_point)
    return lines


def _attach(image: OpenImage, scanned: ScannedImage, scan: Scan) -> None:
    if image.file_pixel_size_mm is None:
        image.file_pixel_size_mm = scanned.pixel_size_mm
    image.forget_findings()
    image.scanned, image.state = scanned, "scanned"
    image.committee = scan.committee
    image.operating_point = image.scan_point = scan.operating_point
    image.laterality, image.view = scanned.side or image.laterality, scanned.view or image.view


def _open_scanned(session: Session, folder: Path, scanned: ScannedImage, scan: Scan, opened: set[Path]) -> None:
    image = session.images.open(folder / scanned.file, clean_name(scanned.file), "scan")
    if not scanned.is_of(image):
        session.images.forget(image)
        raise RequestError(f"{image.name}: is not the image that was scanned; scan it again")
    image.folder = folder
    _attach(image, scanned, scan)
    opened.add(image.path.resolve())


def _open_named(session: Session, path: Path, opened: set[Path]) -> None:
    if path.resolve() not in opened:
        session.images.open(path, clean_name(path.name), "folder", session.settings.pixel_size_mm)


def _do_all(session: Session, jobs: Iterable[Callable[[], object]]) -> None:
    for job in jobs:
        try:
            job()
        except MicrocalcError as error:
            session.problems.append(str(error))
        except Exception as error:  # the others are to be opened all the same
            session.problems.append(f"an image could not be opened (unexpected {type(error).__name__})")
        with _counting:
            session.opening -= 1
