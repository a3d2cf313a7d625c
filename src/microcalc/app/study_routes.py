"""Routes of the studies: their figures, reports and wrongly classified patches."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import FileResponse

from microcalc.app.image_routes import MEDIA, Here
from microcalc.app.studies import Patch, PatchSet, Study

router = APIRouter(prefix="/api/studies")
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


def find_study(identity: str, session: Here) -> Study:
    """The run that the address names.

    Raises:
        HTTPException: there is none.
    """
    for study in session.studies:
        if study.id == identity:
            return study
    raise HTTPException(404, "there is no such study")


Named = Annotated[Study, Depends(find_study)]


@router.get("")
def studies(session: Here) -> list[dict[str, Any]]:
    """All runs that the command line named."""
    return [study.entry() for study in session.studies]


@router.get("/{identity}")
def study(study: Named) -> dict[str, Any]:
    """One run."""
    return study.entry()


@router.get("/{identity}/report")
def report(study: Named) -> Response:
    """The report of a run, which may run nothing and load nothing."""
    if study.report is None:
        raise HTTPException(404, "the run has no report")
    return FileResponse(study.report, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


@router.get("/{identity}/patches")
def patches(
    study: Named, wrong: bool = False, chosen: Annotated[PatchSet | None, Query(alias="set")] = None
) -> list[dict[str, Any]]:
    """The patches of a run, those farthest from their label first."""
    kept = [
        patch
        for patch in study.patches
        if chosen in (None, patch.set) and not (wrong and patch.decision == patch.label)
    ]
    kept.sort(key=lambda patch: -abs(patch.probability - patch.label))
    return [_plain(study, patch) for patch in kept]


def _plain(study: Study, patch: Patch) -> dict[str, Any]:
    address = f"/api/studies/{study.id}/patches/{patch.row}.png"
    return {**vars(patch), "picture": address if study.has_picture(patch) else None}


@router.get("/{identity}/patches/{row}.png")
def picture(study: Named, row: int) -> Response:
    """A patch, and beside it with its Grad-CAM map."""
    patch = next((patch for patch in study.patches if patch.row == row), None)
    content = patch and study.picture(patch)
    if content is None:
        raise HTTPException(404, "the pixels of that patch are not on this machine")
    return Response(content, media_type=MEDIA["png"])
