"""Arcs of a finding in the other mammograms of its breast, through the routes that the page asks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from app.conftest import THREE, png
from starlette.testclient import TestClient

from microcalc.app.session import Session
from microcalc.data.phantom_dicom import phantom_dicom
from microcalc.data.phantom_mammograms import PhantomMammogram, iter_phantom_mammograms
from microcalc.mammograms.findings import ScannedImage


@pytest.fixture(scope="module")
def views() -> list[PhantomMammogram]:
    """Both views of a left breast, and a right one; an older study of the left one; another patient."""
    made = list(iter_phantom_mammograms(5, field_mm=(130, 100), pixel_size_mm=0.2, seed=3))
    return [made[0], made[1], made[2], replace(made[0], study="older"), made[4]]


def test_a_finding_has_arcs_in_the_other_view_and_the_older_image_of_its_breast_alone(
    views: list[PhantomMammogram], session: Session, client: TestClient, tmp_path: Path
) -> None:
    images = []
    for number, view in enumerate(views):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(phantom_dicom(view))
        images.append(session.images.open(path, path.name, "folder"))
    first = images[0]
    finding = replace(THREE[0], center_px=(views[0].nipple_px[0] - 150, views[0].nipple_px[1]))
    first.scanned = ScannedImage(
        *("0.dcm", first.sop_instance_uid, "0" * 64, (0.2, 0.2), first.rows, first.columns, 600.0, 0.1, (), (finding,))
    )
    arcs = {arc["image"]: arc for arc in client.get(f"/api/images/{first.id}/findings/1/arcs").json()}
    assert set(arcs) == {images[2].id, images[3].id}
    for image, arc in ((images[2], arcs[images[2].id]), (images[3], arcs[images[3].id])):
        assert arc["origin"] == "nipple" and arc["distance_mm"] == pytest.approx(33, abs=3)  # from the tip
        points = np.array(arc["points_px"])
        assert (points >= 0).all() and (points < (image.columns, image.rows)).all()
    nearest = np.hypot(*(np.array(arcs[images[3].id]["points_px"]) - finding.center_px).T).min() * 0.2
    assert nearest < 1  # the same place in the same image of another study
    images[2].given_pixel_size_mm = None
    assert client.get(f"/api/images/{images[1].id}/findings/1/arcs").status_code == 409  # it has not been scanned


def test_pictures_of_two_patients_share_no_arc(session: Session, client: TestClient, tmp_path: Path) -> None:
    names = ("P1_LCC.png", "P1_LMLO.png", "LCC.png", "LMLO.png", "P2_LCC.png", "P1_RCC.png")
    images = []
    for seed, name in enumerate(names):
        (tmp_path / name).write_bytes(png(700, 600, seed))
        images.append(session.images.open(tmp_path / name, name, "folder", 0.08))
    for one, other in (images[:2], images[2:4]):
        one.scanned = ScannedImage(one.name, None, "0" * 64, (0.08, 0.08), 700, 600, 600.0, 0.1, (), THREE)
        arcs = client.get(f"/api/images/{one.id}/findings/1/arcs").json()
        assert [arc["image"] for arc in arcs] == [other.id]
