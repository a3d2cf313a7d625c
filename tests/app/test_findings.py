"""Findings on the page: from near, reviewed, downloaded, and joined to images from a finished scan."""

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import PIL.Image
import pydicom
import pytest
from app.conftest import CHANGING, OWN, PIXEL_MM, THREE, NoCommittee, upload
from app.test_jobs import wait_for
from dicom.made import items, write_mammogram
from starlette.testclient import TestClient

from microcalc.app.dicomweb import Server
from microcalc.app.findings import Reader
from microcalc.app.open_image import OpenImage
from microcalc.app.scan_folders import open_paths
from microcalc.app.server import make_app
from microcalc.app.session import Session, Settings
from microcalc.committee.committee import Committee
from microcalc.committee.predictions import predict_patches
from microcalc.data import Data
from microcalc.data.patch_files import read_patch_file
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.mammograms.findings import ScannedImage
from microcalc.mammograms.overlay import MARGIN_MM, MARKED
from microcalc.mammograms.scanner import packaged, packaged_opinion
from microcalc.mammograms.truth import Truth, true_image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Session, dict[str, Any]]]:
    """A phantom that was dropped on the page and scanned by the committee of the package."""
    reader = Reader(lambda: (packaged(), packaged_opinion()))
    session = Session(Settings(save=tmp_path_factory.mktemp("kept")), reader)
    client = TestClient(make_app(session), base_url=OWN, headers=CHANGING)
    made = iter_phantom_mammograms(20, difficulty=0.0, seed=5, field_mm=(110, 70), pixel_size_mm=0.1)
    phantom = next(each for each in made if each.clusters)
    written = io.BytesIO()
    PIL.Image.fromarray(phantom.pixels).save(written, "PNG")
    image = upload(client, written.getvalue(), "phantom.png", pixel_size_mm=0.1)
    session.jobs.start()
    client.post(f"/api/images/{image['id']}/scan")
    wait_for(lambda: client.get(f"/api/images/{image['id']}").json()["state"] in ("scanned", "failed"))
    yield client, session, image
    session.close()


def answer_of(scanned: tuple[TestClient, Session, dict[str, Any]], path: str = "") -> Any:
    client, _, image = scanned
    answer = client.get(f"/api/images/{image['id']}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.headers["content-type"] == "application/json" else answer.content


def test_findings_are_sorted_and_say_what_they_were_judged_by(scanned) -> None:
    told = answer_of(scanned, "/findings")
    probabilities = [finding["probability"] for finding in told["findings"]]
    image = answer_of(scanned)
    assert image["probabilities"] == probabilities == sorted(probabilities, reverse=True)
    assert image["operating_point"] == packaged_opinion().threshold < probabilities[0]
    assert told["findings"][0]["review"] == {"verdict": None, "note": ""}


def test_a_finding_from_near_shows_its_calcifications_where_the_patch_is_bright(scanned) -> None:
    client, _, image = scanned
    near = answer_of(scanned, "/findings/1")
    assert len(near["votes"]) == 5 and all(0 <= vote <= 1 for vote in near["votes"])
    patch = np.asarray(PIL.Image.open(io.BytesIO(client.get(near["patch"]).content)))
    heat = np.asarray(PIL.Image.open(io.BytesIO(client.get(near["gradcam"]).content)))
    assert patch.shape == (60, 60) and patch.max() == 255 and patch.min() == 0
    assert heat.shape == (60, 60, 4) and heat[..., 3].max() > 100
    columns, rows = np.rint(near["calcifications_patch"]).astype(int).T
    assert len(columns) == len(answer_of(scanned, "/findings")["findings"][0]["calcifications_px"])
    inside = (columns >= 0) & (columns < 60) & (rows >= 0) & (rows < 60)
    assert inside.any() and patch[rows[inside], columns[inside]].mean() > np.median(patch) + 50
    assert client.get(f"/api/images/{image['id']}/findings/999").status_code == 404


def test_a_heat_map_covers_the_image_and_is_opaque_at_the_best_finding(scanned) -> None:
    client, _, image = scanned
    address = f"/api/images/{image['id']}"
    assert client.get(f"{address}/heatmap.png").status_code == 409
    assert client.post(f"{address}/heatmap").status_code == 202
    wait_for(lambda: answer_of(scanned)["heatmap"] in ("ready", "failed"))
    heat = np.asarray(PIL.Image.open(io.BytesIO(client.get(f"{address}/heatmap.png").content)))
    scale = heat.shape[0] / image["rows"]
    assert heat.shape[1] / image["columns"] == pytest.approx(scale, rel=0.02)
    column, row = (round(scale * each) for each in answer_of(scanned, "/findings")["findings"][0]["center_px"])
    assert heat[row - 2 : row + 3, column - 2 : column + 3, 3].max() > 128 > np.median(heat[..., 3])


def test_a_review_is_kept_and_is_in_table_and_json(scanned) -> None:
    client, session, image = scanned
    address = f"/api/images/{image['id']}/findings/1/review"
    note = 'a vessel, "perhaps"'
    told = client.put(address, json={"verdict": "rejected", "note": note}).json()
    assert told["number"] == 1 and told["review"] == {"verdict": "rejected", "note": note}
    before = [finding["probability"] for finding in answer_of(scanned, "/findings")["findings"]]
    assert answer_of(scanned, "/findings")["findings"][0]["review"]["verdict"] == "rejected"
    assert answer_of(scanned)["probabilities"] == before[1:]
    table = client.get("/api/findings.csv")
    assert table.headers["content-disposition"] == "attachment; filename*=utf-8''findings.csv"
    first = next(csv.DictReader(io.StringIO(table.text)))
    assert (first["file"], first["number"], first["review"], first["note"]) == ("phantom.png", "1", "rejected", note)
    (kept,) = client.get("/api/review.json").json()["reviews"]
    assert (kept["file"], kept["number"], kept["verdict"], kept["note"]) == ("phantom.png", 1, "rejected", note)
    assert kept["pixels_sha256"] == session.images.get(image["id"]).pixels_sha256 and kept["sop_instance_uid"] is None
    for wrong in ({"verdict": "maybe"}, {"verdict": None, "note": "x" * 5000}, {"note": "no verdict"}):
        assert client.put(address, json=wrong).status_code == 422


def test_only_dicom_images_have_dicom_results(scanned) -> None:
    client, session, image = scanned
    session.server = Server("http://127.0.0.1:1/web")
    for answer in (client.get(f"/api/images/{image['id']}/dicom.zip"), client.post(f"/api/images/{image['id']}/send")):
        assert answer.status_code == 409 and "is no mammogram in DICOM" in answer.json()["error"]


def test_what_is_saved_opens_again_with_its_findings_and_reviews(scanned) -> None:
    client, _, image = scanned
    client.put(f"/api/images/{image['id']}/findings/1/review", json={"verdict": "accepted", "note": "kept"})
    folder = Path(client.post("/api/save").json()["folder"])
    assert client.post("/api/save").json()["folder"] == str(folder)
    assert {path.name for path in folder.iterdir()} == {"findings.json", "findings.csv", "review.json", "images"}
    again = Session(Settings(), NoCommittee())
    open_paths(again, [folder]).join()
    page = TestClient(make_app(again), base_url=OWN)
    told = page.get("/api/session").json()
    (entry,) = told["images"]
    findings = page.get(f"/api/images/{entry['id']}/findings").json()
    again.close()
    assert (told["opening"], told["problems"], entry["origin"], entry["state"]) == (0, [], "scan", "scanned")
    assert findings == answer_of(scanned, "/findings")


def test_an_image_of_known_truth_is_scanned_at_the_pixel_size_of_the_truth(scanned) -> None:
    client, session, image = scanned
    known = session.images.get(image["id"])
    entry = true_image("a.png", known.shape, (0.1, 0.1), [], pixels_sha256=known.pixels_sha256)
    client.post("/api/truth", json=asdict(Truth(1, (entry,))))
    address = f"/api/images/{upload(client, known.path.read_bytes())['id']}"
    client.post(f"{address}/scan")
    wait_for(lambda: client.get(address).json()["state"] in ("scanned", "failed"))
    again, before = (client.get(f"{place}/findings").json() for place in (address, f"/api/images/{image['id']}"))
    assert [each["box_px"] for each in again["findings"]] == [each["box_px"] for each in before["findings"]]
    client.delete(address)


@pytest.mark.parametrize("kind", ["tissue", "noise"])
def test_a_patch_has_one_finding_and_all_values_of_predict(scanned, kind: str, phantom: Data, tmp_path: Path) -> None:
    client, *_ = scanned
    path, noise = tmp_path / "patch.png", np.random.default_rng(0).random((60, 60))
    pixels = noise if kind == "noise" else phantom.images[0]
    PIL.Image.fromarray(np.rint(pixels * 65535).astype(np.uint16)).save(path)
    (predicted,) = predict_patches(Committee.pretrained(), [read_patch_file(path)])
    image = upload(client, path.read_bytes())
    address = f"/api/images/{image['id']}"
    client.post(f"{address}/scan")
    wait_for(lambda: client.get(address).json()["state"] in ("scanned", "failed"))
    told = client.get(f"{address}/findings").json()
    (finding,) = told["findings"]
    assert finding["box_px"] == [0, 0, 59, 59]
    assert any("assumed to be 0.085 mm" in warning for warning in client.get(address).json()["warnings"])
    near = client.get(f"{address}/findings/1").json()
    assert near["probability"] == finding["probability"] == pytest.approx(predicted.probability, abs=1e-5)
    assert near["votes"] == pytest.approx(predicted.experts, abs=1e-5)
    assert [step["word"] for step in near["steps"]] == ["votes", "committee", "final"]
    assert near["calcifications_patch"] == []
    client.delete(address)


@pytest.fixture
def dicom_image(session: Session, tmp_path: Path) -> OpenImage:
    """A mammogram in DICOM with oblong pixels and three findings, the operating point at 0.37."""
    changes = {"ImagerPixelSpacing": list(PIXEL_MM), "Rows": 700, "Columns": 600, "PixelData": bytes(2 * 700 * 600)}
    path = write_mammogram(tmp_path / "a.dcm", **changes)
    image = session.images.open(path, "Иванова.dcm", "folder")
    uid = image.sop_instance_uid, image.pixels_sha256
    image.scanned = ScannedImage("a.dcm", *uid, PIXEL_MM, 700, 600, 900.0, 0.1, (), THREE)
    image.operating_point, image.state = 0.37, "scanned"
    return image


def test_results_are_downloaded_under_the_name_of_their_image(client: TestClient, dicom_image: OpenImage) -> None:
    for what, name in {"overlay.png": "Иванова.png", "dicom.zip": "Иванова.zip"}.items():
        answer = client.get(f"/api/images/{dicom_image.id}/{what}")
        assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''{quote(name)}"


def test_no_result_shows_a_finding_that_the_reader_has_rejected(client: TestClient, dicom_image: OpenImage) -> None:
    address = f"/api/images/{dicom_image.id}"

    def marked() -> list[int]:
        """Findings 1 and 2, as far as their left edge is drawn as a mark."""
        picture = np.asarray(PIL.Image.open(io.BytesIO(client.get(f"{address}/overlay.png").content)).convert("RGB"))
        down = picture.shape[0] / 700
        edges = ((round(100 * n - 20 - MARGIN_MM / PIXEL_MM[1]), round((150 * n + 10) * down)) for n in (1, 2))
        return [n for n, (x, y) in enumerate(edges, 1) if (picture[y, x - 3 : x + 4] == MARKED).all(axis=1).any()]

    def shown() -> list[int]:
        """Findings 1 to 3, as far as the CAD report has a station show them: a cluster and four items in it each."""
        archive = zipfile.ZipFile(io.BytesIO(client.get(f"{address}/dicom.zip").content))
        report = pydicom.dcmread(io.BytesIO(archive.read("Иванова.sr.dcm")))
        intents = [item.ConceptCodeSequence[0].CodeMeaning for item in items(report, "Rendering Intent")]
        return [n for n, intent in enumerate(intents[::5], 1) if intent.startswith("Presentation Required")]

    assert marked() == [1, 2] and shown() == [1, 2]
    client.put(f"{address}/findings/1/review", json={"verdict": "rejected"})
    assert marked() == [2] and shown() == [2]
    client.put(f"{address}/findings/2/review", json={"verdict": "accepted"})
    assert marked() == [2] and shown() == [2]


def test_no_dicom_results_are_made_for_a_file_that_became_another_patients(
    client: TestClient, dicom_image: OpenImage
) -> None:
    write_mammogram(dicom_image.path, number=1, Rows=700, Columns=600, PixelData=bytes(2 * 700 * 600))
    answer = client.get(f"/api/images/{dicom_image.id}/dicom.zip")
    assert answer.status_code == 422 and answer.json()["error"].startswith("Иванова.dcm: ")


def test_the_zipped_dicom_results_state_the_operating_point_and_the_findings(
    client: TestClient, dicom_image: OpenImage
) -> None:
    answer = client.get(f"/api/images/{dicom_image.id}/dicom.zip")
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert sorted(archive.namelist()) == [f"Иванова.{kind}.dcm" for kind in ("pr", "regions", "sc", "sr")]
    report = pydicom.dcmread(io.BytesIO(archive.read("Иванова.sr.dcm")))
    assert report.Modality == "SR"
    texts = {item.TextValue for item in items(report, "Algorithm Parameters")}
    assert "operating point: probability of a cluster at least 0.37" in texts
    assert len(list(items(report, "Single Image Finding"))) >= 3
