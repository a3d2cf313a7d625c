"""Routes of the findings: what they are, from near, their reviews, and downloads."""

import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, HTTPException, Response

from microcalc.app import downloads
from microcalc.app.arcs import arcs
from microcalc.app.image_routes import MEDIA, Here, Named
from microcalc.app.open_image import Detail, OpenImage
from microcalc.app.review import Note, Verdict, plain_reviews
from microcalc.app.scan_folders import attach_findings, mark_all
from microcalc.app.session import Session
from microcalc.files import checked
from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.truth import Truth
from microcalc.mammograms.words import WORDS, steps

router = APIRouter(prefix="/api")
Json = Annotated[dict[str, Any], Body()]
ONE_IMAGE = "/images/{identity}"
ONE_FINDING = "/images/{identity}/findings/{number}"


def find_scanned(image: Named) -> ScannedImage:
    """The findings of the image that the address names.

    Raises:
        HTTPException: it has not been scanned.
    """
    if image.scanned is None:
        raise HTTPException(409, f"{image.name}: has not been scanned")
    return image.scanned


Scanned = Annotated[ScannedImage, Depends(find_scanned)]


def find_dicom(image: Named) -> OpenImage:
    """The mammogram that the address names.

    Raises:
        HTTPException: it is none, or its file is no DICOM file.
    """
    if not image.dicom or image.kind != "mammogram":
        raise HTTPException(409, f"{image.name}: is no mammogram in DICOM, and only those have DICOM results")
    return image


InDicom = Annotated[OpenImage, Depends(find_dicom)]


def find_finding(number: int, image: Named, scanned: Scanned) -> Finding:
    """The finding that the address names.

    Raises:
        HTTPException: there is none.
    """
    for finding in scanned.findings:
        if finding.number == number:
            return finding
    raise HTTPException(404, f"{image.name}: has no finding {number}")


One = Annotated[Finding, Depends(find_finding)]


def find_detail(image: Named, scanned: Scanned, finding: One, session: Here) -> Detail:
    """The finding that the address names, from near."""
    return session.reader.details(image, scanned, session.images)[finding.number]


Near = Annotated[Detail, Depends(find_detail)]


def reviewed(session: Session, image: OpenImage, finding: Finding) -> dict[str, Any]:
    """A finding with its review, as the page expects it."""
    review = session.reviews.get(image, finding)
    opinion = {"verdict": review and review.verdict, "note": review.note if review else ""}
    return vars(finding) | {"review": opinion}


@router.get(f"{ONE_IMAGE}/findings")
def findings(image: Named, scanned: Scanned, session: Here) -> dict[str, Any]:
    """All findings of an image, the most probable first."""
    return {"findings": [reviewed(session, image, finding) for finding in scanned.findings]}


@router.get(ONE_FINDING)
def detail(image: Named, finding: One, near: Near) -> dict[str, Any]:
    """Return the experts' votes on the window around a finding, and where its pictures are."""
    address = f"/api/images/{image.id}/findings/{finding.number}"
    return {
        "number": finding.number,
        "probability": finding.probability,
        "votes": finding.votes or near.votes,
        "steps": [{"word": word, "value": value, "meaning": WORDS[word]} for word, value in steps(finding).items()],
        "calcifications_patch": near.calcifications_patch,
        "patch": f"{address}/patch.png",
        "gradcam": f"{address}/gradcam.png",
    }


@router.get(f"{ONE_FINDING}/arcs")
def show_arcs(image: Named, finding: One, session: Here) -> list[dict[str, Any]]:
    """Return where the finding may be in other mammograms of its breast."""
    return arcs(session, image, finding)


@router.get(f"{ONE_FINDING}/{{picture}}.png")
def picture(near: Near, picture: Literal["patch", "gradcam"]) -> Response:
    """Give the window around a finding, 60 x 60 pixels at 85 um, or the Grad-CAM map to be laid over it."""
    return Response(getattr(near, picture), media_type=MEDIA["png"])


@router.put(f"{ONE_FINDING}/review")
def review(
    image: Named,
    finding: One,
    session: Here,
    verdict: Annotated[Verdict | None, Body()],
    note: Annotated[Note, Body()] = "",
) -> dict[str, Any]:
    """Keep what a reader thinks of a finding."""
    session.reviews.put(image, finding, verdict, note)
    return reviewed(session, image, finding)


@router.get(f"{ONE_IMAGE}/overlay.png")
def overlay(image: Named, scanned: Scanned, session: Here) -> Response:
    """The image with its findings drawn on it."""
    return _attached(downloads.overlay(session, image, scanned), MEDIA["png"], f"{image.stem}.png")


@router.get(f"{ONE_IMAGE}/dicom.zip")
def dicom(image: InDicom, scanned: Scanned, session: Here) -> Response:
    """The DICOM results of an image."""
    content = downloads.dicom_zip(session, image, scanned)
    return _attached(content, "application/zip", f"{image.stem}.zip")


@router.get("/findings.csv")
def table(session: Here) -> Response:
    """The findings of all images that were scanned, with their reviews."""
    return _attached(downloads.table(session).encode(), "text/csv; charset=utf-8", "findings.csv")


@router.get("/review.json")
def reviews(session: Here) -> Response:
    """All reviews of the session."""
    plain = plain_reviews(session.reviews.of_images(session.images.all()))
    return _attached(json.dumps(plain, indent=1).encode(), "application/json", "review.json")


@router.post("/save")
def save(session: Here) -> dict[str, str]:
    """Keep uploads, findings and reviews in the folder that the command line named."""
    if session.settings.save is None:
        raise HTTPException(409, "start the viewer with --save FOLDER to keep anything")
    return {"folder": str(downloads.save(session, session.settings.save))}


@router.post("/scan-directory")
def scan_directory(
    session: Here, findings: Json, review: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, list[str]]:
    """Join the findings of a dropped scan to the images that they were found in."""
    return attach_findings(session, findings, review)


@router.post("/threshold")
def threshold(session: Here, threshold: Annotated[float, Body(embed=True, ge=0, le=1)]) -> dict[str, Any]:
    """Mark the findings of all mammograms from another probability on, and keep that in their scan folders."""
    lines = mark_all(session, threshold)
    return {"folders": lines, "images": [session.describe(image) for image in session.images.all()]}


@router.post("/truth", status_code=204)
def truth(session: Here, dropped: Json) -> None:
    """Take the truth of images that are about to be dropped."""
    session.images.add_truth(checked(Truth, dropped, "truth.json", "ignore"))


def _attached(content: bytes, media_type: str, name: str) -> Response:
    disposition = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    return Response(content, media_type=media_type, headers={"content-disposition": disposition})
