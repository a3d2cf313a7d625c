"""Findings on the page: from near, reviewed, downloaded, and joined to images from a finished scan."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from app.conftest import CHANGING, OWN, NoCommittee, png, upload
from app.test_jobs import FOUND, found_in, wait_for
from dicom.made import write_mammogram
from starlette.testclient import TestClient

from microcalc.app.findings import Reader
from microcalc.app.scan_folders import open_places, sort_paths
from microcalc.app.server import make_app
from microcalc.app.session import Session, Settings
from microcalc.committee.committee import Committee
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.errors import RequestError
from microcalc.mammograms.scanner import packaged, packaged_opinion


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Session, dict[str, Any]]]:
    """A phantom that was dropped on the page and scanned by the committee of the package."""
    reader = Reader(lambda: (packaged(), packaged_opinion()), Committee.pretrained)
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
    assert probabilities == sorted(probabilities, reverse=True) and probabilities[0] > told["operating_point"]
    assert told["operating_point"] == packaged_opinion().threshold and told["pixel_size_mm"] == [0.1, 0.1]
    assert answer_of(scanned)["marks"] == sum(finding["marked"] for finding in told["findings"]) > 0
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
    assert answer_of(scanned, "/findings")["findings"][0]["review"]["verdict"] == "rejected"
    table = client.get("/api/findings.csv")
    assert table.headers["content-disposition"] == 'attachment; filename="findings.csv"'
    first = next(csv.DictReader(io.StringIO(table.text)))
    assert (first["file"], first["number"], first["review"], first["note"]) == ("phantom.png", "1", "rejected", note)
    (kept,) = client.get("/api/review.json").json()["reviews"]
    assert (kept["file"], kept["number"], kept["verdict"], kept["note"]) == ("phantom.png", 1, "rejected", note)
    assert json.loads((session.folder / "review.json").read_text())["reviews"] == [kept]
    for wrong in ({"verdict": "maybe"}, {"verdict": None, "note": "x" * 5000}, {"note": "no verdict"}):
        assert client.put(address, json=wrong).status_code == 422


def test_the_overlay_is_a_picture_to_keep(scanned) -> None:
    assert PIL.Image.open(io.BytesIO(answer_of(scanned, "/overlay.png"))).mode == "RGB"


def test_only_dicom_images_have_dicom_results(scanned) -> None:
    client, _, image = scanned
    assert client.get(f"/api/images/{image['id']}/dicom.zip").status_code == 409


def test_what_is_saved_opens_again_with_its_findings_and_reviews(scanned) -> None:
    client, _, image = scanned
    client.put(f"/api/images/{image['id']}/findings/1/review", json={"verdict": "accepted", "note": "kept"})
    folder = Path(client.post("/api/save").json()["folder"])
    assert client.post("/api/save").json()["folder"] == str(folder)
    assert {path.name for path in folder.iterdir()} == {"findings.json", "findings.csv", "review.json", "images"}
    again = Session(Settings(), NoCommittee())
    open_places(again, sort_paths([folder])).join()
    page = TestClient(make_app(again), base_url=OWN)
    told = page.get("/api/session").json()
    (entry,) = told["images"]
    findings = page.get(f"/api/images/{entry['id']}/findings").json()
    again.close()
    assert (told["opening"], told["problems"], entry["origin"], entry["state"]) == (0, [], "scan", "scanned")
    assert findings == answer_of(scanned, "/findings")


def test_a_patch_has_one_finding_that_stands_for_all_of_it(scanned) -> None:
    client, *_ = scanned
    image = upload(client, png(60, 60), "patch.png")
    address = f"/api/images/{image['id']}"
    client.post(f"{address}/scan")
    wait_for(lambda: client.get(address).json()["state"] in ("scanned", "failed"))
    told = client.get(f"{address}/findings").json()
    (finding,) = told["findings"]
    assert finding["box_px"] == [0, 0, 59, 59] and finding["decision"] == finding["marked"]
    assert any("assumed to be 0.085 mm" in warning for warning in told["warnings"])
    near = client.get(f"{address}/findings/1").json()
    assert near["probability"] == finding["probability"] and len(near["votes"]) == 5
    assert near["outlier"] in (True, False) and near["calcifications_patch"] == []
    client.delete(address)


# Below, findings are made up, and no committee is needed.


def dropped(file: str, rows: int = 700, columns: int = 600) -> dict[str, Any]:
    """A findings.json of one image."""
    image = {
        "file": file,
        "sop_instance_uid": None,
        "pixels_sha256": "0",
        "pixel_size_mm": [0.1, 0.1],
        "rows": rows,
        "columns": columns,
        "breast_mm2": 9.0,
    }
    found = {**vars(FOUND), "calcifications_px": [[20.0, 20.0], [40.0, 40.0]]}
    entry = {**image, "seconds": 1.0, "warnings": [], "findings": [found]}
    return {"schema": 2, "committee": "x", "operating_point": 0.4, "images": [entry], "failed": []}


def test_a_dropped_scan_is_joined_to_the_image_of_its_name(client: TestClient) -> None:
    image = upload(client, png(700, 600), "a.png")
    review = {"file": "/far/away/a.png", "number": 1, "box_px": [20, 20, 40, 40], "verdict": "accepted", "note": "so"}
    body = {"findings": dropped("/far/away/a.png"), "review": {"schema": 1, "reviews": [review]}}
    assert client.post("/api/scan-directory", json=body).json() == {"attached": [image["id"]], "missing": []}
    told = client.get(f"/api/images/{image['id']}/findings").json()
    assert told["operating_point"] == 0.4 and told["findings"][0]["review"] == {"verdict": "accepted", "note": "so"}
    entry = client.get(f"/api/images/{image['id']}").json()
    assert (entry["state"], entry["marks"], entry["pixel_size_mm"]) == ("scanned", 1, [0.1, 0.1])


def test_findings_of_another_image_of_that_name_are_not_joined(client: TestClient) -> None:
    upload(client, png(700, 600), "a.png")
    body = {"findings": dropped("a.png", rows=800)}
    assert client.post("/api/scan-directory", json=body).json() == {"attached": [], "missing": ["a.png"]}


def test_a_dropped_scan_opens_no_file_of_the_server(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(700, 600))
    body = {"findings": dropped(str(tmp_path / "a.png"))}
    assert client.post("/api/scan-directory", json=body).json() == {"attached": [], "missing": ["a.png"]}
    assert client.get("/api/session").json()["images"] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved.pop("images"),
        lambda saved: saved.update(schema=1),
        lambda saved: saved.update(operating_point=7),
        lambda saved: saved["images"][0].pop("rows"),
        lambda saved: saved["images"][0].update(pixel_size_mm=[0, 0]),
        lambda saved: saved["images"][0]["findings"][0].update(center_px=[1]),
        lambda saved: saved["images"][0]["findings"][0].update(probability=1e9),
        lambda saved: saved["images"][0]["findings"][0].update(box_px="all"),
    ],
)
def test_a_damaged_findings_json_is_refused(client: TestClient, damage) -> None:
    saved = dropped("a.png")
    damage(saved)
    answer = client.post("/api/scan-directory", json={"findings": saved})
    assert answer.status_code == 422 and "findings.json" in answer.json()["error"]


def test_a_damaged_review_json_is_refused(client: TestClient) -> None:
    for review in ({}, {"schema": 1, "reviews": [{"file": "a.png"}]}, {"schema": 1, "reviews": "none"}):
        answer = client.post("/api/scan-directory", json={"findings": dropped("a.png"), "review": review})
        assert answer.status_code == 422 and "review.json" in answer.json()["error"]


def test_a_review_of_a_finding_that_has_changed_does_not_count(client: TestClient) -> None:
    image = upload(client, png(700, 600), "a.png")
    review = {"file": "a.png", "number": 1, "box_px": [0, 0, 9, 9], "verdict": "accepted", "note": ""}
    body = {"findings": dropped("a.png"), "review": {"schema": 1, "reviews": [review]}}
    client.post("/api/scan-directory", json=body)
    told = client.get(f"/api/images/{image['id']}/findings").json()
    assert told["findings"][0]["review"]["verdict"] is None


def test_a_review_of_a_finished_scan_is_written_beside_it(session: Session, client: TestClient, tmp_path: Path) -> None:
    scan = tmp_path / "scan"
    scan.mkdir()
    (tmp_path / "a.png").write_bytes(png(700, 600))
    (scan / "findings.json").write_text(json.dumps(dropped(str(tmp_path / "a.png"))))
    open_places(session, sort_paths([scan])).join()
    (image,) = session.images.all()
    client.put(f"/api/images/{image.id}/findings/1/review", json={"verdict": "accepted"})
    (kept,) = json.loads((scan / "review.json").read_text())["reviews"]
    assert (kept["file"], kept["verdict"]) == (str(tmp_path / "a.png"), "accepted")


def test_what_cannot_be_opened_of_the_command_line_is_told(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "a.png").write_bytes(png())
    (folder / "b.png").write_bytes(b"broken")
    open_places(session, sort_paths([folder])).join()
    told = session.entry()
    assert [image["name"] for image in told["images"]] == ["a.png"] and told["opening"] == 0
    assert len(told["problems"]) == 1 and "b.png: " in told["problems"][0]


def test_a_path_that_is_nothing_is_refused(tmp_path: Path) -> None:
    for path, line in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no image")):
        with pytest.raises(RequestError, match=line):
            sort_paths([path])


def test_dicom_results_are_zipped(client: TestClient, session: Session, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    path = write_mammogram(tmp_path / "a.dcm")
    image = session.images.open(path, "a.dcm", "folder", 0.1)
    image.scanned, image.file_pixel_size_mm = found_in(image, FOUND), (0.5, 0.5)
    answer = client.get(f"/api/images/{image.id}/dicom.zip")
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert sorted(archive.namelist()) == ["a.pr.dcm", "a.sc.dcm", "a.sr.dcm"]
    assert pydicom.dcmread(io.BytesIO(archive.read("a.sr.dcm"))).Modality == "SR"
