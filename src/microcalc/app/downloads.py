"""Downloads of a session: tables, pictures, DICOM objects, or all of it in a folder."""

import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from microcalc import __version__
from microcalc.app.open_image import OpenImage
from microcalc.app.review import FILE, Entry, plain_reviews
from microcalc.app.session import Session
from microcalc.errors import naming
from microcalc.files import csv_lines, opened_atomically, write_atomically, write_json
from microcalc.mammograms.findings import ScannedImage


def overlay(session: Session, image: OpenImage, scanned: ScannedImage) -> bytes:
    """Draw the findings of an image on it, but for those that the reader has rejected."""
    from microcalc.mammograms.overlay import draw_overlay

    rejected = session.reviews.rejected(image, scanned)
    kept = tuple(finding for finding in scanned.findings if finding.number not in rejected)
    placed = replace(scanned, findings=kept, side=image.laterality, view=image.view)
    return draw_overlay(session.images.read(image).pixels, placed)


def dicom_results(session: Session, image: OpenImage, scanned: ScannedImage) -> dict[str, bytes]:
    """The CAD report, the presentation state and the secondary capture of a mammogram, by their suffixes.

    Raises:
        ImageError: the mammogram lacks what results must refer to.
    """
    from microcalc.dicom.objects import make_results
    from microcalc.dicom.results import Algorithm

    algorithm = Algorithm(__version__, image.committee or session.settings.committee, image.operating_point)
    drawn, rejected = overlay(session, image, scanned), session.reviews.rejected(image, scanned)
    with naming(image.name):
        return make_results(image.path, scanned, drawn, algorithm, rejected)[0]


def dicom_zip(session: Session, image: OpenImage, scanned: ScannedImage) -> bytes:
    """A ZIP archive of :func:`dicom_results`."""
    results = dicom_results(session, image, scanned)
    with io.BytesIO() as written:
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for suffix, content in results.items():
                archive.writestr(image.stem + suffix, content)
        return written.getvalue()


def table(session: Session) -> str:
    """findings.csv of all images that were scanned, with the verdict and the note on each finding."""
    from microcalc.reader.rows import COLUMNS, table_row

    rows: list[list[Any]] = [[*COLUMNS, "review", "note"]]
    for image in session.images.all():
        if image.scanned is None:
            continue
        scanned = replace(image.scanned, file=image.name)
        for finding in scanned.findings:
            review = session.reviews.get(image, finding)
            rows.append([*table_row(scanned, finding), review and review.verdict, review and review.note])
    return "".join(csv_lines(rows))


def save(session: Session, folder: Path) -> Path:
    """Write uploads, findings and reviews to a folder of this session, which ``microcalc app`` opens again.

    Raises:
        FailedError: the folder cannot be written.
    """
    own = folder / f"{session.started:%Y-%m-%d-%H%M%S}"
    images = [image for image in session.images.all() if image.scanned is not None or image.origin == "upload"]
    named = {image: _kept(image, own) for image in images}
    plain, reviews = list[dict[str, Any]](), list[Entry]()
    for image, file in named.items():
        if image.scanned is not None:
            plain.append(replace(image.scanned, file=file, side=image.laterality, view=image.view).to_dict())
        reviews += [replace(review, file=file) for review in session.reviews.of_images([image])]
    point = next((image.operating_point for image in named if image.scanned is not None), 0.5)
    made_by = {image.committee or session.settings.committee for image in named if image.scanned is not None}
    committee = " and ".join(sorted(made_by)) or session.settings.committee
    head = {"schema": 2, "committee": committee, "operating_point": point}
    write_json(own / "findings.json", {**head, "images": plain, "failed": []})
    write_atomically(own / "findings.csv", table(session))
    write_json(own / FILE, plain_reviews(reviews))
    return own


def _kept(image: OpenImage, folder: Path) -> str:
    """Copy an upload; give the name by which findings.json refers to an image, which begins with the patient's."""
    if image.origin != "upload":
        return str(image.path.absolute())
    name = f"images/{image.name}"
    with image.path.open("rb") as source, opened_atomically(folder / name) as target:
        shutil.copyfileobj(source, target)
    return name
