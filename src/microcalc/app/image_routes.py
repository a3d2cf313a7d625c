"""Routes of the images: upload, tiles, scan and heat map."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from microcalc.app.open_image import BUSY, OpenImage, clean_name
from microcalc.app.review import Work
from microcalc.app.security import too_large
from microcalc.app.session import Session
from microcalc.app.tiles import Window, cut_tile
from microcalc.images.pictures import Encoding, encode
from microcalc.images.pixel_size import LARGEST_PIXEL_MM, SMALLEST_PIXEL_MM

router = APIRouter(prefix="/api/images")
MEDIA = {"jpg": "image/jpeg", "png": "image/png"}

Millimetres = Annotated[float, Field(ge=SMALLEST_PIXEL_MM, le=LARGEST_PIXEL_MM)]


class Change(BaseModel):
    """Changes that the page may make to an image; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    pixel_size_mm: Millimetres | None = None
    laterality: Literal["L", "R"] | None = None
    view: Annotated[str, Field(pattern="^[A-Z]{1,8}$")] | None = None


def find_session(request: Request) -> Session:
    """The session that a route belongs to."""
    session: Session = request.app.state.session
    return session


Here = Annotated[Session, Depends(find_session)]


def find_image(identity: str, session: Here) -> OpenImage:
    """The image that the address names.

    Raises:
        HTTPException: there is none.
    """
    image = session.images.get(identity)
    if image is None:
        raise HTTPException(404, "there is no such image; it may have been removed")
    return image


Named = Annotated[OpenImage, Depends(find_image)]


@router.post("", status_code=201)
async def upload(
    request: Request,
    session: Here,
    name: Annotated[str, Query(max_length=4096)],
    pixel_size_mm: Millimetres | None = None,
) -> dict[str, Any]:
    """Take an image as the bytes of its file, and open it."""
    path = session.new_upload()
    try:
        await _receive(request, path, session.settings.upload_bytes)
        given = session.settings.pixel_size_mm if pixel_size_mm is None else pixel_size_mm
        image = await run_in_threadpool(session.images.open, path, clean_name(name), "upload", given)
    except BaseException:  # also a client that has gone, and a server that ends
        path.unlink(missing_ok=True)
        raise
    return session.describe(image)


async def _receive(request: Request, path: Path, limit: int) -> None:
    try:
        with path.open("xb") as file:
            async for chunk in request.stream():
                if file.tell() + len(chunk) > limit:
                    raise HTTPException(413, too_large(limit), {"connection": "close"})
                file.write(chunk)
    except OSError as error:
        raise HTTPException(413, f"cannot be kept ({error.strerror}); make room on the server's disk") from error


@router.get("/{identity}")
def show(image: Named, session: Here) -> dict[str, Any]:
    """All that the page knows of an image."""
    return session.describe(image)


@router.patch("/{identity}")
def change(image: Named, wanted: Change, session: Here) -> dict[str, Any]:
    """Set what the file does not say."""
    if wanted.pixel_size_mm is not None:
        if image.file_pixel_size_mm is not None:
            raise HTTPException(409, "the file gives its pixel size, which counts")
        if image.state in BUSY:
            raise HTTPException(409, "the image is being scanned; stop that first")
        image.given_pixel_size_mm = wanted.pixel_size_mm
        image.forget_findings()
    if "laterality" in wanted.model_fields_set:
        image.laterality = wanted.laterality
    if "view" in wanted.model_fields_set:
        image.view = wanted.view
    return session.describe(image)


@router.put("/{identity}/reading")
def reading(image: Named, work: Work, session: Here) -> dict[str, Any]:
    """Keep what a reader has drawn on an image, and whether it is read."""
    for left, top, right, bottom in work.clusters_px:
        if not (0 <= left < right < image.columns and 0 <= top < bottom < image.rows):
            raise HTTPException(422, f"{image.name}: a cluster must lie in the image: left, top, right, bottom")
    session.reviews.put_reading(image, work)
    return session.describe(image)


@router.delete("/{identity}", status_code=204)
def forget(image: Named, session: Here) -> None:
    """Leave an image out, and delete its upload."""
    session.jobs.forget(image)
    session.images.forget(image)


@router.get("/{identity}/tiles/{level}/{column}_{row}.{encoding}")
def tile(
    image: Named,
    session: Here,
    level: int,
    column: int,
    row: int,
    encoding: Encoding,
    center: Annotated[float, Query(ge=-10, le=10)] = 0.5,
    width: Annotated[float, Query(ge=1e-5, le=20)] = 1.0,
    invert: bool = False,
    sigmoid: bool = False,
) -> Response:
    """One tile, windowed from the greys at full precision."""
    levels = session.images.levels(image)
    greys = cut_tile(levels[level], column, row) if 0 <= level < len(levels) else None
    if greys is None:
        raise HTTPException(404, "there is no such tile")
    picture = encode(Window(center, width, invert, sigmoid).applied(greys), encoding)
    return Response(picture, media_type=MEDIA[encoding])


@router.get("/{identity}/thumbnail.jpg")
def thumbnail(image: Named) -> Response:
    """The whole image, at most 128 pixels a side."""
    return Response(image.thumbnail, media_type=MEDIA["jpg"])


@router.post("/{identity}/scan", status_code=202)
def scan(image: Named, session: Here) -> dict[str, Any]:
    """Queue the scan of an image."""
    if image.pixel_size_mm is None:
        raise HTTPException(409, f"{image.name}: has no pixel size; give the pixel size in mm")
    session.jobs.scan(image)
    return session.describe(image)


@router.delete("/{identity}/scan", status_code=202)
def stop(image: Named, session: Here) -> dict[str, Any]:
    """Stop the scan of an image at its next step."""
    session.jobs.stop(image)
    return session.describe(image)


@router.post("/{identity}/heatmap", status_code=202)
def draw_heatmap(image: Named, session: Here) -> dict[str, Any]:
    """Queue the heat map of a mammogram."""
    if image.kind != "mammogram":
        raise HTTPException(409, f"{image.name}: is no mammogram of known pixel size, and only those have a heat map")
    session.jobs.draw_heatmap(image)
    return session.describe(image)


@router.get("/{identity}/heatmap.png")
def heatmap(image: Named) -> Response:
    """The heat map, which covers the whole image."""
    if image.heatmap != "ready":
        raise HTTPException(409, "the heat map has not been drawn yet")
    return Response(image.heatmap_png, media_type=MEDIA["png"])
