"""Finished scans, dropped or named, and their reviews: each finding meets the image that it was found in, or none."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.conftest import CHANGING, OWN, PIXEL_MM, THREE, NoCommittee, png, upload
from dicom.made import write_mammogram
from starlette.testclient import TestClient

from microcalc.app.scan_folders import open_paths
from microcalc.app.server import make_app
from microcalc.app.session import Session, Settings
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.errors import RequestError
from microcalc.evaluation.truth import read_truth
from microcalc.files import locked
from microcalc.images import read_mammogram
from microcalc.mammograms.findings import Scan, ScannedImage
from microcalc.mammograms.truth import write_phantom_mammograms
from microcalc.reader import tables
from microcalc.reader.store import Entry, Store

ROWS, COLUMNS = 700, 600


def found(path: Path, file: str | None = None, first: int = 0) -> ScannedImage:
    """Findings of an image: those of ``THREE`` from one on."""
    image = read_mammogram(path)
    known = file or str(path), image.sop_instance_uid, image.pixels_sha256
    return ScannedImage(*known, PIXEL_MM, *image.shape, 900.0, 1.0, (), THREE[first:])  # type: ignore[arg-type]


def scan_of(*images: ScannedImage) -> dict[str, Any]:
    """The findings.json of some images."""
    plain = json.loads(json.dumps([image.to_dict() for image in images]))
    return {"schema": 2, "committee": "x", "operating_point": 0.4, "images": plain, "failed": []}


def review_of(scanned: ScannedImage, number: int, verdict: str, at: str = "2026-01-02T03:04:05Z") -> dict[str, Any]:
    """An entry of a review.json."""
    known = {name: getattr(scanned, name) for name in ("file", "sop_instance_uid", "pixels_sha256")}
    (box,) = (finding.box_px for finding in scanned.findings if finding.number == number)
    return known | {"number": number, "box_px": box, "verdict": verdict, "note": "", "at": at}


def made(path: Path, seed: int) -> Path:
    """A mammogram of its own pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(ROWS, COLUMNS, seed))
    return path


@pytest.fixture
def patients(tmp_path: Path) -> tuple[Path, Path]:
    """The mammograms of two patients, of one name and size."""
    return made(tmp_path / "patient1" / "1-1.png", seed=1), made(tmp_path / "patient2" / "1-1.png", seed=2)


def drop(client: TestClient, scan: dict[str, Any], *reviews: dict[str, Any]) -> dict[str, list[str]]:
    answer = client.post("/api/scan-directory", json={"findings": scan, "review": {"schema": 2, "reviews": reviews}})
    assert answer.status_code == 200, answer.text
    joined: dict[str, list[str]] = answer.json()
    return joined


def findings_of(client: TestClient, identity: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get(f"/api/images/{identity}/findings").json()["findings"]
    return listed


def test_a_dropped_scan_joins_each_finding_to_the_image_it_was_found_in(
    client: TestClient, patients: tuple[Path, Path], tmp_path: Path
) -> None:
    scans = [found(path, "/far/away/1-1.png", first) for first, path in enumerate(patients)]
    third = found(made(tmp_path / "patient3" / "1-1.png", seed=3), "gone.png")
    images = [upload(client, path.read_bytes(), "1-1.png") for path in reversed(patients)]
    reviews = [review_of(scans[0], 2, "accepted"), review_of(scans[1], 2, "rejected")]
    joined = drop(client, scan_of(*scans, third), *reviews)
    assert joined == {"attached": [images[1]["id"], images[0]["id"]], "missing": ["gone.png"]}
    for image, verdict, numbers in zip(images, ("rejected", "accepted"), ([2, 3], [1, 2, 3]), strict=True):
        listed = findings_of(client, image["id"])
        assert [finding["number"] for finding in listed] == numbers
        assert [finding["box_px"] for finding in listed] == [list(THREE[n - 1].box_px) for n in numbers]
        assert [each["number"] for each in listed if each["review"]["verdict"] == verdict] == [2]
        entry = client.get(f"/api/images/{image['id']}").json()
        assert (entry["state"], entry["pixel_size_mm"]) == ("scanned", list(PIXEL_MM))
    assert client.get(f"/api/images/{images[0]['id']}").json()["operating_point"] == 0.4


def test_a_dicom_image_is_known_by_its_uid(client: TestClient, session: Session, tmp_path: Path) -> None:
    path = write_mammogram(tmp_path / "a.dcm")
    image = session.images.open(path, "another.dcm", "folder")
    scanned = replace(found(path), pixels_sha256="of another decoder", findings=THREE)
    assert drop(client, scan_of(replace(scanned, sop_instance_uid="1.2.3")))["attached"] == []
    assert drop(client, scan_of(scanned), review_of(scanned, 3, "accepted"))["attached"] == [image.id]
    (review,) = client.get("/api/review.json").json()["reviews"]
    assert (review["sop_instance_uid"], review["number"]) == (scanned.sop_instance_uid, 3)


def test_what_is_made_of_a_dropped_scan_names_the_committee_of_that_scan(
    client: TestClient, session: Session, tmp_path: Path
) -> None:
    path = write_mammogram(tmp_path / "a.dcm", ImagerPixelSpacing=[0.2, 0.2])
    image = session.images.open(path, "a.dcm", "folder")
    scanned = replace(found(path), findings=THREE[:1])
    drop(client, scan_of(scanned))
    answer = client.get(f"/api/images/{image.id}/dicom.zip")
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        report = archive.read("a.sr.dcm")
    assert b"committee: x" in report
    folder = Path(client.post("/api/save").json()["folder"])
    assert Scan.read(folder).committee == "x"
    image.forget_findings()
    image.scanned = scanned
    client.post("/api/save")
    assert Scan.read(folder).committee == session.settings.committee


def test_two_images_of_one_name_are_listed_and_downloaded_under_two(client: TestClient) -> None:
    given = ["1-1.dcm", "1-1.png", "1.2.840.1", "Иванова 1.png", "Иванова 2.png", "1-1.png"]
    images = [upload(client, png(ROWS, COLUMNS, seed), name) for seed, name in enumerate(given)]
    names = [image["name"] for image in images]
    assert names == ["1-1.dcm", "1-1 (2).png", "1.2.840.1", "Иванова 1.png", "Иванова 2.png", "1-1 (3).png"]


def test_a_dropped_scan_opens_no_file_of_the_server(client: TestClient, patients: tuple[Path, Path]) -> None:
    assert drop(client, scan_of(found(patients[0]))) == {"attached": [], "missing": ["1-1.png"]}
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
def test_a_damaged_findings_json_is_refused(client: TestClient, patients: tuple[Path, Path], damage) -> None:
    saved = scan_of(found(patients[0]))
    damage(saved)
    answer = client.post("/api/scan-directory", json={"findings": saved})
    assert answer.status_code == 422 and answer.json()["error"].startswith("findings.json")


@pytest.mark.parametrize(
    "review", [{"schema": 2}, {"schema": 2, "reviews": [{"file": "a.png"}]}, {"schema": 1, "reviews": []}]
)
def test_a_damaged_review_json_is_refused(
    client: TestClient, session: Session, patients: tuple[Path, Path], review: dict[str, Any]
) -> None:
    answer = client.post("/api/scan-directory", json={"findings": scan_of(found(patients[0])), "review": review})
    assert answer.status_code == 422 and answer.json()["error"].startswith("review.json.")
    folder = write_scan(patients[0].parent, found(patients[0]))
    (folder / "review.json").write_text(json.dumps(review))
    with pytest.raises(RequestError, match=r"review\.json: .*; move it away"):
        open_paths(session, [folder])


def test_of_two_dropped_reviews_the_later_counts_and_one_of_another_finding_never(
    client: TestClient, patients: tuple[Path, Path]
) -> None:
    scanned = found(patients[0])
    image = upload(client, patients[0].read_bytes())
    later, earlier = review_of(scanned, 1, "accepted"), review_of(scanned, 1, "rejected", "2026-01-01T00:00:00Z")
    moved = review_of(scanned, 3, "accepted") | {"box_px": [0, 0, 9, 9]}
    for _ in range(2):
        drop(client, scan_of(scanned), later, earlier, moved)
    assert [each["review"]["verdict"] for each in findings_of(client, image["id"])] == ["accepted", None, None]
    (kept,) = client.get("/api/review.json").json()["reviews"]
    assert [each["verdict"] for each in kept["history"]] == ["rejected"]


def write_scan(folder: Path, *images: ScannedImage) -> Path:
    (folder / "found").mkdir(exist_ok=True)
    (folder / "found" / "findings.json").write_text(json.dumps(scan_of(*images)))
    return folder / "found"


def test_a_scan_finds_its_images_from_its_own_folder_wherever_the_viewer_starts(
    session: Session, patients: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(patients[1].parent)
    relative, lost = found(patients[0], "../1-1.png"), found(patients[0], "1-1.png")
    folder = write_scan(patients[0].parent, relative, found(patients[1], first=1), lost)
    open_paths(session, [folder]).join()
    assert [(image.path.resolve(), image.name) for image in session.images.all()] == [
        (patients[0], "1-1.png"),
        (patients[1], "1-1 (2).png"),
    ]
    assert [len(image.scanned.findings) for image in session.images.all() if image.scanned] == [3, 2]
    (problem,) = session.problems
    assert problem == "1-1.png: does not exist; check its name and folder"


def test_findings_of_an_image_that_is_now_another_patients_are_refused(
    session: Session, patients: tuple[Path, Path]
) -> None:
    folder = write_scan(patients[0].parent, found(patients[0]))
    patients[0].write_bytes(patients[1].read_bytes())
    open_paths(session, [folder]).join()
    assert session.problems == ["1-1.png: is not the image that was scanned; scan it again"]
    assert session.images.all() == []


@pytest.mark.parametrize("scan_first", [True, False])
def test_an_image_whose_folder_is_named_beside_its_scan_is_opened_once_and_with_its_findings(
    session: Session, patients: tuple[Path, Path], scan_first: bool
) -> None:
    images = patients[0].parent
    new, changed = made(images / "new.png", seed=3), made(images / "changed.png", seed=4)
    folder = write_scan(images.parent, found(patients[0]), found(changed))
    changed.write_bytes(png(ROWS, COLUMNS, seed=5))
    open_paths(session, [folder, images] if scan_first else [images, folder]).join()
    asked = ("folder", "needs_pixel_size")
    states = {image.path: (image.origin, image.state) for image in session.images.all()}
    assert states == {patients[0]: ("scan", "scanned"), new: asked, changed: asked}
    assert len(session.images.all()) == 3


def opened(folder: Path) -> tuple[Session, TestClient, list[str]]:
    """A reader's viewer of a finished scan, and the addresses of its findings' reviews."""
    session = Session(Settings(), NoCommittee())
    open_paths(session, [folder]).join()
    addresses = [f"/api/images/{image.id}/findings" for image in session.images.all()]
    return session, TestClient(make_app(session), base_url=OWN, headers=CHANGING), addresses


def test_two_readers_of_one_folder_keep_both_their_reviews(patients: tuple[Path, Path]) -> None:
    folder = write_scan(patients[0].parent, *map(found, patients))
    readers = [opened(folder) for _ in range(2)]

    def judge(reader: int, image: int, number: int, verdict: str | None, note: str = "") -> None:
        _, client, addresses = readers[reader]
        put = client.put(f"{addresses[image]}/{number}/review", json={"verdict": verdict, "note": note})
        assert put.status_code == 200, put.text

    judge(0, 0, 2, "accepted", "a")
    judge(0, 0, 2, "accepted", "a vessel")  # a note while it is typed makes no history
    judge(0, 1, 2, "rejected")
    judge(1, 0, 3, "rejected")
    judge(1, 0, 2, "rejected", "no")
    judge(1, 0, 2, None)
    kept = json.loads((folder / "review.json").read_text())
    assert kept["schema"] == 2
    told = {(each["pixels_sha256"], each["number"]): each for each in kept["reviews"]}
    first, second = (found(path).pixels_sha256 for path in patients)
    assert {key: each["verdict"] for key, each in told.items()} == {
        (first, 2): None,
        (first, 3): "rejected",
        (second, 2): "rejected",
    }
    history = [(each["verdict"], each["note"]) for each in told[first, 2]["history"]]
    assert history == [("accepted", "a vessel"), ("rejected", "no")]
    readers.append(opened(folder))
    for _, client, addresses in readers:  # also the first, who judged before the second
        verdicts = [each["review"]["verdict"] for each in client.get(addresses[0]).json()["findings"]]
        assert verdicts == [None, None, "rejected"]
    for session, *_ in readers:
        session.close()


def read(client: TestClient, address: str, **work: Any) -> dict[str, Any]:
    """Put the reading of an image, and return its description."""
    whole = {"read": False, "clusters_px": [], "rulers_px": [], "seconds": 0, "marks_shown": False} | work
    answer = client.put(f"{address}/reading", json=whole)
    assert answer.status_code == 200, answer.text
    described: dict[str, Any] = answer.json()
    return described


def test_a_reading_is_kept_with_what_was_drawn_and_evaluate_takes_it(patients: tuple[Path, Path]) -> None:
    folder = write_scan(patients[0].parent, *map(found, patients))
    session, client, addresses = opened(folder)
    addresses = [address.removesuffix("/findings") for address in addresses]
    boxes, rulers = [[30, 40, 90, 80], [300, 200, 360, 230], [1, 2, 599, 699]], [[[1.5, 2.0], [30.0, 40.25]]]
    read(client, addresses[0], clusters_px=boxes[:1], seconds=3.5)
    work = {"read": True, "clusters_px": boxes, "rulers_px": rulers, "seconds": 7.25, "marks_shown": False}
    assert read(client, addresses[0], **work)["reading"] == work
    client.put(f"{addresses[0]}/findings/2/review", json={"verdict": "accepted"})
    client.put(f"{addresses[1]}/findings/1/review", json={"verdict": "accepted"})  # of an image that is not read
    for wrong in ([30, 40, 20, 80], [0, 0, 600, 9], [-1, 0, 5, 5]):
        assert client.put(f"{addresses[0]}/reading", json={**work, "clusters_px": [wrong]}).status_code == 422
    session.close()
    (kept,) = json.loads((folder / "review.json").read_text())["images"]
    assert kept["pixels_sha256"] == found(patients[0]).pixels_sha256 and kept["history"] == []
    again, client, _ = opened(folder)
    assert [image["reading"] for image in client.get("/api/session").json()["images"]] == [work, None]
    again.close()
    (true,) = read_truth(folder / "review.json")
    assert sorted(true.boxes_px) == sorted(tuple(map(float, box)) for box in (*boxes, THREE[1].box_px))


def test_the_reading_without_marks_and_that_of_another_reader_stay_in_the_history(patients: tuple[Path, Path]) -> None:
    folder = write_scan(patients[0].parent, found(patients[0]))
    readers = [opened(folder) for _ in range(2)]
    address = readers[0][2][0].removesuffix("/findings")
    others = readers[1][2][0].removesuffix("/findings")
    read(readers[0][1], address, seconds=1.0)
    read(readers[0][1], address, read=True, seconds=2.0)
    read(readers[0][1], address, read=True, seconds=2.0, clusters_px=[[1, 2, 30, 40]], marks_shown=True)
    read(readers[1][1], others, read=True, seconds=5.0)
    (kept,) = json.loads((folder / "review.json").read_text())["images"]
    assert (kept["seconds"], kept["clusters_px"]) == (5.0, [])
    assert [(each["seconds"], each["marks_shown"]) for each in kept["history"]] == [(2.0, False), (2.0, True)]
    for session, *_ in readers:
        session.close()


def test_a_review_waits_for_another_writer_and_then_says_why_it_is_not_kept(
    patients: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microcalc.app.review.LOCK_SECONDS", 0.0)
    folder = write_scan(patients[0].parent, found(patients[0]))
    session, client, addresses = opened(folder)
    with locked(folder / ".review.lock"):
        answer = client.put(f"{addresses[0]}/1/review", json={"verdict": "accepted"})
    session.close()
    assert answer.status_code == 422 and "another microcalc is working in it" in answer.json()["error"]
    assert not (folder / "review.json").exists()


def test_the_truth_of_a_phantom_folder_is_no_finding(session: Session, client: TestClient, tmp_path: Path) -> None:
    made = list(iter_phantom_mammograms(3, seed=1, field_mm=(70, 60)))
    write_phantom_mammograms(tmp_path / "phantom", made)
    open_paths(session, [tmp_path / "phantom"]).join()
    told = client.get("/api/session").json()["images"]
    stated = {(image["origin"], image["state"], *image["pixel_size_mm"]) for image in told}
    assert len(told) == 3 and stated == {("folder", "ready", 0.07, 0.07)}
    assert [[cluster["calcifications_px"] for cluster in image["truth"]] for image in told] == [
        [cluster.tolist() for cluster in mammogram.clusters] for mammogram in sorted(made, key=lambda one: one.name)
    ]


def test_dropped_truth_meets_the_images_that_follow_it_whatever_their_names(client: TestClient, tmp_path: Path) -> None:
    write_phantom_mammograms(tmp_path / "phantom", iter_phantom_mammograms(3, seed=1, field_mm=(70, 60)))
    truth = json.loads((tmp_path / "phantom" / "truth.json").read_text())
    assert client.post("/api/truth", json=truth).status_code == 204
    for entry in reversed(truth["images"]):
        image = upload(client, (tmp_path / "phantom" / entry["file"]).read_bytes(), "same.png")
        assert image["truth"] == entry["clusters"] and image["state"] == "ready"
    assert upload(client, png(700, 600))["truth"] is None
    refused = client.post("/api/truth", json={**truth, "schema": 2})
    assert refused.status_code == 422 and refused.json()["error"].startswith("truth.json.schema must be 1")


def test_what_cannot_be_opened_of_the_command_line_is_listed(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "a.png").write_bytes(png())
    (folder / "b.png").write_bytes(b"broken")
    open_paths(session, [folder]).join()
    told = session.entry()
    assert [image["name"] for image in told["images"]] == ["a.png"] and told["opening"] == 0
    assert len(told["problems"]) == 1 and "b.png: " in told["problems"][0]


def test_another_threshold_is_kept_in_the_folder_of_the_scan(patients: tuple[Path, Path]) -> None:
    folder = patients[0].parent / "found"
    with Store.opened(folder, {"version": "0"}) as store:
        for path in patients:
            store.add(Entry(str(path), (), "", found(path).to_dict()))
        tables.write_scan(store, (), "x", 0.4)
    session, client, _ = opened(folder)
    answer = client.post("/api/threshold", json={"threshold": 0.2})
    session.close()
    assert answer.json()["folders"] == [f"{folder}: 6 findings in 2 mammograms"]
    assert [image["operating_point"] for image in answer.json()["images"]] == [0.2, 0.2]
    saved = json.loads((folder / "findings.json").read_text())
    assert saved["operating_point"] == 0.2
    assert all(finding["marked"] for image in saved["images"] for finding in image["findings"])
    assert client.post("/api/threshold", json={"threshold": 1.2}).status_code == 422


def test_a_saved_session_keeps_the_patients_of_names(client: TestClient, session: Session) -> None:
    for seed, name in enumerate(("P1_LCC.png", "P1_LMLO.png", "P1_LMLO.png", "P2_LCC.png")):
        image = session.images.get(upload(client, png(ROWS, COLUMNS, seed), name, pixel_size_mm=0.08)["id"])
        assert image is not None
        image.scanned = found(image.path, image.name)
    folder = Path(client.post("/api/save").json()["folder"])
    saved = Scan.read(folder).images
    assert [image.patient_name for image in saved] == 3 * ["images/P1"] + ["images/P2"]
    assert all(image.is_of(read_mammogram(folder / image.file)) for image in saved)


def test_side_and_view_that_a_reader_gave_are_saved_and_opened(client: TestClient, session: Session) -> None:
    image = session.images.get(upload(client, png(ROWS, COLUMNS), "a.png", pixel_size_mm=0.08)["id"])
    assert image is not None
    image.scanned = found(image.path, image.name)
    client.patch(f"/api/images/{image.id}", json={"laterality": "L", "view": "MLO"})
    folder = Path(client.post("/api/save").json()["folder"])
    (saved,) = Scan.read(folder).images
    assert (saved.side, saved.view) == ("L", "MLO")
    again, page, _ = opened(folder)
    (entry,) = page.get("/api/session").json()["images"]
    again.close()
    assert (entry["laterality"], entry["view"]) == ("L", "MLO")


def test_a_saved_session_takes_another_threshold_on_screen(client: TestClient, session: Session) -> None:
    image = session.images.get(upload(client, png(ROWS, COLUMNS), pixel_size_mm=0.08)["id"])
    assert image is not None
    image.scanned = found(image.path, image.name)
    folder = Path(client.post("/api/save").json()["folder"])
    again, page, _ = opened(folder)
    answer = page.post("/api/threshold", json={"threshold": 0.2})
    again.close()
    assert answer.status_code == 200, answer.text
    (entry,) = answer.json()["images"]
    assert (entry["operating_point"], entry["scan_point"]) == (0.2, 0.5)


def test_a_path_that_is_nothing_is_refused(session: Session, tmp_path: Path) -> None:
    for path, line in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no image")):
        with pytest.raises(RequestError, match=line):
            open_paths(session, [path])
