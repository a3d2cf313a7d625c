"""Routes of the DICOMweb server: its studies, and the results of an image that it is given."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException

from microcalc.app.dicomweb import Server
from microcalc.app.downloads import dicom_results
from microcalc.app.finding_routes import InDicom, Scanned
from microcalc.app.image_routes import Here
from microcalc.app.scan_folders import open_later
from microcalc.app.session import Session

router = APIRouter(prefix="/api")


def find_server(session: Here) -> Server:
    """The server that the viewer was started with.

    Raises:
        HTTPException: there is none.
    """
    if session.server is None:
        raise HTTPException(404, "the viewer has no DICOMweb server; start it with --dicomweb URL")
    return session.server


Asked = Annotated[Server, Depends(find_server)]


@router.get("/dicomweb")
def studies(server: Asked) -> list[dict[str, Any]]:
    """The studies of the server that hold mammograms."""
    return server.studies()


@router.post("/dicomweb/{study}", status_code=202)
def open_study(study: str, server: Asked, session: Here) -> None:
    """Open the mammograms of a study, one after the other, while the page goes on."""
    open_later(session, [partial(_open, server, session, *image) for image in server.images(study)])


@router.post("/images/{identity}/send")
def send(image: InDicom, scanned: Scanned, server: Asked, session: Here) -> dict[str, int]:
    """Store the DICOM results of an image at the server."""
    return {"stored": len(list(server.store(dicom_results(session, image, scanned))))}


def _open(server: Server, session: Session, study: str, series: str, instance: str) -> None:
    """Fetch one mammogram and open it, unless it is open."""
    if all(image.sop_instance_uid != instance for image in session.images.all()):
        path = session.new_upload()
        name = server.fetch(study, series, instance, path)
        session.images.open(path, name, "upload", session.settings.pixel_size_mm)
