"""The viewer at a DICOMweb server: a real Orthanc where it is installed, and what is refused without one."""

import json
from pathlib import Path

import pytest
from app.conftest import png, upload
from own_network import run_in_own_network
from requests import Request
from starlette.testclient import TestClient

from microcalc.app.dicomweb import Server
from microcalc.app.session import Session
from microcalc.dicom.stow import PASSWORD, TOKEN, USER
from microcalc.errors import FailedError, RequestError

HERE = Path(__file__).parent


@pytest.mark.slow
def test_a_study_of_orthanc_opens_once_and_its_results_go_back(tmp_path: Path) -> None:
    printed = run_in_own_network(HERE / "orthanc.py", tmp_path, "Orthanc")
    print(printed)
    told = json.loads(printed)
    assert f"HTTP status 401; set {USER} and {PASSWORD}" in told["refused"]
    assert told["server"] == "http://localhost:8042/dicom-web" and not told["page_holds_password"]
    assert {(study["patient"], study["objects"]) for study in told["studies"]} == {
        ("phantom00000", "4"),
        ("phantom00001", "1"),
    }
    shown = {(side, view) for _, side, view, _ in told["images"]}
    assert shown == {("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")}
    assert {study for *_, study in told["images"]} == {"study-1"} and told["opened_once"]
    assert told["sent"]["stored"] >= 3 and {"MG", "OT", "PR", "SR"} <= set(told["held"])
    assert "has not been scanned" in told["not_scanned"]["error"]
    if told["browser"]:
        assert told["browser"]["note"].startswith("Stored ") and not told["browser"]["password"]


def test_without_a_server_its_routes_say_how_to_name_one(client: TestClient) -> None:
    answer = client.get("/api/dicomweb")
    assert answer.status_code == 404 and "--dicomweb URL" in answer.json()["error"]
    assert client.get("/api/session").json()["server"] is None


def test_a_server_that_is_none_is_named_in_one_line(session: Session, client: TestClient) -> None:
    session.server = Server("http://127.0.0.1:1/web/")
    answer = client.get("/api/dicomweb")
    assert answer.status_code == 409
    assert answer.json()["error"] == "http://127.0.0.1:1/web: cannot be reached, or is no DICOMweb server"
    image = upload(client, png(700, 600), pixel_size_mm=0.08)
    assert client.post(f"/api/images/{image['id']}/send").status_code == 409  # it has not been scanned


@pytest.mark.parametrize(
    "url", ["pacs.example", "ftp://pacs.example", "https://me:secret@pacs.example/web", "https://"]
)
def test_an_address_that_cannot_be_used_is_refused_without_quoting_a_password(url: str) -> None:
    with pytest.raises(RequestError, match="must be https://HOST") as caught:
        Server(url)
    assert "secret" not in str(caught.value)


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine pacs.example login reader password secret\n")
    for name, value in (("NETRC", str(tmp_path / "netrc")), (TOKEN, "abc"), ("REQUESTS_CA_BUNDLE", "/own/ca.pem")):
        monkeypatch.setenv(name, value)
    session = Server("https://pacs.example").session
    request = session.prepare_request(Request("GET", "https://pacs.example/studies"))
    assert request.headers["Authorization"] == "Bearer abc"
    sent = session.merge_environment_settings(request.url, {}, None, None, None)
    assert sent["verify"] == "/own/ca.pem"  # a hospital's own certificates count with a token, too
    monkeypatch.setenv(USER, "reader")
    monkeypatch.setenv(PASSWORD, "secret")
    assert Server("https://pacs.example").session.auth == ("reader", "secret")


def test_a_study_without_mammograms_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("https://pacs.example")
    monkeypatch.setattr("dicomweb_client.web.DICOMwebClient.search_for_series", lambda *_, **__: [])
    with pytest.raises(FailedError, match="holds no mammogram of this study"):
        server.images("1.2.3")
