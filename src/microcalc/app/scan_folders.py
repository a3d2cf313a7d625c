"""What the command line names: images, finished scans and runs; and scans that are dropped on the page."""

import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microcalc.app.open_image import BUSY, OpenImage, clean_name
from microcalc.app.review import parse_reviews
from microcalc.app.session import Session
from microcalc.errors import MicrocalcError, RequestError
from microcalc.files import read_json
from microcalc.images import find_images
from microcalc.mammograms.findings import ScannedImage

ADVICE = "give the --out of a finished scan"


@dataclass(frozen=True)
class Places:
    """What the paths of a command line are.

    Attributes:
        images: files that are to be opened.
        scans: folders of finished scans.
        runs: run directories.
    """

    images: tuple[Path, ...]
    scans: tuple[Path, ...]
    runs: tuple[Path, ...]


def sort_paths(paths: Iterable[Path]) -> Places:
    """Tell images, folders of images, finished scans and runs apart.

    Raises:
        RequestError: a path does not exist, or holds none of these.
        FailedError: a folder cannot be listed.
    """
    images: list[Path] = []
    scans, runs = [], []
    for path in paths:
        if (path / "findings.json").is_file():
            scans.append(path)
        elif (path / "report.html").is_file():
            runs.append(path)
        elif path.is_dir():
            found = find_images(path).files
            if not found:
                raise RequestError(f"{path}: holds no image, no finished scan (findings.json) and no run (report.html)")
            images += found
        elif path.exists():
            images.append(path)
        else:
            raise RequestError(f"{path}: does not exist; name images, folders of them, finished scans or runs")
    return Places(tuple(images), tuple(scans), tuple(runs))


def open_places(session: Session, places: Places) -> threading.Thread:
    """Open what a command line names, its images in a thread, one after the other, so that the page need not wait.

    Raises:
        RequestError: a scan or a run is not what it should be.
    """
    session.runs = places.runs
    scans = [(folder, read_scan(read_json(folder / "findings.json", ADVICE))) for folder in places.scans]
    for folder in places.scans:
        session.reviews.read_folder(folder)
    session.opening = len(places.images) + sum(len(scan.images) for _, scan in scans)
    work = threading.Thread(target=_open_all, args=(session, places.images, scans), daemon=True)
    work.start()
    return work


@dataclass(frozen=True)
class Scan:
    """A ``findings.json``."""

    operating_point: float
    images: tuple[ScannedImage, ...]


def read_scan(saved: Any) -> Scan:
    """Read a findings.json that anybody may have written.

    Raises:
        RequestError: it is none.
    """
    entries = saved.get("images") if isinstance(saved, dict) and saved.get("schema") == 2 else None
    point = saved.get("operating_point") if isinstance(saved, dict) else None
    if not isinstance(entries, list) or not isinstance(point, int | float) or not 0 <= point <= 1:
        raise RequestError(f"findings.json: is not what a scan leaves; {ADVICE}")
    return Scan(float(point), tuple(ScannedImage.from_dict(entry) for entry in entries))


def attach_findings(session: Session, findings: Any, review: Any) -> dict[str, list[str]]:
    """Join the findings of a dropped scan to the images of the same name and size that are not being scanned.

    Returns:
        The ids of those images as ``attached``, and the names of the others as ``missing``.

    Raises:
        RequestError: either is not what its name says.
    """
    scan, reviews = read_scan(findings), {} if review is None else parse_reviews(review)
    reviews = {(clean_name(file), number): each for (file, number), each in reviews.items()}
    free = [image for image in session.images.all() if image.state not in BUSY]
    attached, missing = [], []
    for scanned in scan.images:
        name = clean_name(scanned.file)
        image = next((each for each in free if _belongs(each, scanned, name)), None)
        if image is None:
            missing.append(name)
            continue
        _attach(image, scanned, scan.operating_point)
        session.reviews.add(reviews, image)
        attached.append(image.id)
    return {"attached": attached, "missing": missing}


def _belongs(image: OpenImage, scanned: ScannedImage, name: str) -> bool:
    return image.name == name and (image.rows, image.columns) == (scanned.rows, scanned.columns)


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
                image = session.images.open(_find(scanned.file, folder), clean_name(scanned.file), "scan")
                if not _belongs(image, scanned, image.name):
                    session.images.forget(image)
                    raise RequestError(f"{image.name}: has changed since it was scanned; scan it again")
                image.key, image.folder = scanned.file, folder
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


def _find(file: str, folder: Path) -> Path:
    """The file of a scanned image: beside its scan, or where it was when it was scanned."""
    beside = folder / file
    return beside if beside.is_file() else Path(file)
