"""Where a finding may be in the other views and older images of its breast, as far as they are open."""

from typing import Any

import numpy as np

from microcalc.app.open_image import OpenImage
from microcalc.app.session import Session
from microcalc.images.names import patient_of
from microcalc.mammograms.findings import Finding
from microcalc.mammograms.other_view import View, draw_arc, find_nipple


def arcs(session: Session, image: OpenImage, finding: Finding) -> list[dict[str, Any]]:
    """Return an arc for each other mammogram of the same breast: of one patient, of one study, or so by its name."""
    if image.kind != "mammogram" or image.laterality is None:
        return []
    others = [
        other
        for other in session.images.all()
        if other is not image
        and other.kind == "mammogram"
        and other.laterality == image.laterality
        and _owner(other, image) == _owner(image, image)
    ]
    here = _view(session, image) if others else None
    return [
        {"image": other.id} | vars(draw_arc(finding.center_px, here, _view(session, other))) for other in others if here
    ]


def _owner(image: OpenImage, like: OpenImage) -> str | None:
    """The patient of an image by what another one gives: patient, study, or a name."""
    if like.patient or like.study:
        return image.patient if like.patient else image.study
    return None if image.patient or image.study else patient_of(str(image.path.with_name(image.name)))


def _view(session: Session, image: OpenImage) -> View:
    """The geometry of an image, found in its smallest picture when it is first asked for."""
    if image.geometry is None:
        greys = session.images.levels(image)[0].astype(np.float32)
        shrunk = np.divide(image.shape, greys.shape)
        size = image.pixel_size_mm or (1.0, 1.0)
        nipple = find_nipple(greys / np.float32(65535), (size[0] * shrunk[0], size[1] * shrunk[1]))
        if nipple is not None:
            nipple = tuple(((np.array(nipple) + 0.5) * shrunk[::-1] - 0.5).tolist())
        wall = image.chest_wall or ("left" if image.laterality == "L" else "right")
        image.geometry = View(image.rows, image.columns, size, wall, nipple)
    return image.geometry
