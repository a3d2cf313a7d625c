"""Requests that the server refuses, and headers of every answer."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from app.conftest import CHANGING, OWN, NoCommittee, png
from starlette.testclient import TestClient

from microcalc.app.scan_folders import open_paths
from microcalc.app.security import COOKIE, HEADERS, POLICY
from microcalc.app.server import make_app
from microcalc.app.session import Session, Settings

ADDRESSES = (
    *("/", "/api/session", "/api/images/none", "/nothing", "/static/none.js", "/api/reports/0"),
    *("/api/images/none/tiles/0/0_0.jpg?center=nan", "/api/review.json"),
)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A page to serve."""
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "index.html").write_text("<p>page</p>")
    monkeypatch.setattr("microcalc.app.server.STATIC", folder)
    yield folder


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("evil.example:8118", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("[::2]:8118", 421), ("[::1", 421)),
        *(("127.0.0.1:8118", 200), ("localhost:9", 200), ("[::1]:8118", 200), ("LOCALHOST", 200)),
    ],
)
def test_only_names_of_this_machine_are_answered(client: TestClient, host: str, status: int) -> None:
    answer = client.get("/api/session", headers={"Host": host})
    assert answer.status_code == status and ("error" in answer.json()) == (status == 421)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_change_without_our_header_or_from_another_origin(session: Session, method: str) -> None:
    bare = TestClient(make_app(session), base_url=OWN)
    others = ("http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8118")
    wrong = [{"X-Microcalc": "1"}, {"Origin": OWN}, {"Origin": OWN, "X-Microcalc": "yes"}]
    for headers in [*wrong, *(CHANGING | {"Origin": origin} for origin in others)]:
        assert bare.request(method, "/api/images/none/scan", headers=headers).status_code == 403
    assert bare.request(method, "/api/images/none/scan", headers=CHANGING).status_code in (404, 405)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_may_not_even_look(client: TestClient, site: str) -> None:
    assert client.get("/api/session", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.get("/api/session", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_answer_carries_the_policy(page: Path, client: TestClient, address: str) -> None:
    for answer in (client.get(address), client.get(address, headers={"Host": "evil.example"}), client.post(address)):
        assert {"content-security-policy": POLICY, **HEADERS}.items() <= answer.headers.items()
        if answer.status_code >= 400:
            line = answer.json()["error"]
            assert line and "\n" not in line


def test_the_policy_allows_no_inline_code() -> None:
    assert "unsafe" not in POLICY and "default-src 'none'" in POLICY and "frame-ancestors 'none'" in POLICY


def test_the_description_of_the_interface_is_not_served(client: TestClient) -> None:
    assert {client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")} == {404}


def test_a_report_may_run_and_load_nothing_and_be_framed_by_the_page(
    client: TestClient, session: Session, tmp_path: Path
) -> None:
    for name in ("report", "evaluation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.html").write_text(f"<title>{name}</title>")
    open_paths(session, [tmp_path / "report", tmp_path / "evaluation"]).join()
    study, evaluation = client.get("/api/session").json()["reports"]
    report = client.get(evaluation["report"])
    assert study["name"] == "report (study)" and client.get(study["report"]).text == "<title>report</title>"
    assert evaluation["name"] == "evaluation (evaluation)" and report.text == "<title>evaluation</title>"
    assert report.headers["content-type"].startswith("text/html")
    policy = set(report.headers["content-security-policy"].split("; "))
    assert {"sandbox", "default-src 'none'", "img-src data:", "frame-ancestors 'self'"} <= policy
    assert not any(part.startswith("script-src") for part in policy)
    for wrong in ("2/report.html", "-1/report.html", "0/evaluation.html", "0/..%2Fevaluation%2Fevaluation.html"):
        assert client.get(f"/api/reports/{wrong}").status_code == 404


def test_an_unexpected_error_says_neither_where_nor_what(
    client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError(f"in {session.folder}")

    monkeypatch.setattr(session, "entry", fail)
    answer = client.get("/api/session")
    assert answer.status_code == 500 and answer.headers["content-security-policy"] == POLICY
    assert answer.json() == {"error": "unexpected RuntimeError; start with --debug to see where"}


@pytest.fixture
def reached(reader: NoCommittee, page: Path) -> Iterator[Session]:
    """A server that other machines reach, too."""
    session = Session(Settings(host="192.0.2.7"), reader)
    yield session
    session.close()


def test_other_machines_need_the_token_once(reached: Session) -> None:
    own = "http://192.0.2.7:8118"
    browser = TestClient(make_app(reached), base_url=own, follow_redirects=False)
    assert reached.address(8118) == f"{own}/?token={reached.token}"
    assert browser.get("/").status_code == browser.get("/api/session").status_code == 403
    assert {
        browser.get(f"{path}").status_code for path in ("/?token=wrong", f"/api/session?token={reached.token}")
    } == {403}
    entered = browser.get(f"/?token={reached.token}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert {"httponly", "samesite=strict"} <= set(entered.headers["set-cookie"].lower().split("; "))
    assert browser.get("/").text == "<p>page</p>" and browser.get("/api/session").status_code == 200
    assert TestClient(make_app(reached), base_url=own, cookies={COOKIE: "wrong"}).get("/").status_code == 403


def test_loopback_needs_no_token(session: Session) -> None:
    assert session.token is None and session.address(8118) == OWN + "/"


def test_a_server_at_all_addresses_answers_to_addresses_and_its_own_names(reader: NoCommittee) -> None:
    session = Session(Settings(host="0.0.0.0"), reader)
    browser = TestClient(make_app(session), cookies={COOKIE: session.token or ""})
    own = socket.gethostname()
    hosts = ("192.0.2.9:1", f"{own}:8118", f"{own.upper()}.local", "a.example", f"{own}.a.example")
    codes = [browser.get("/api/session", headers={"Host": host}).status_code for host in hosts]
    session.close()
    assert codes == [200, 200, 200, 421, 421]


@pytest.mark.parametrize(("host", "own"), [("0.0.0.0", "10.1.2.3"), ("::", "fd00::7"), ("0.0.0.0", None)])
def test_a_server_at_all_addresses_prints_one_that_others_reach(
    reader: NoCommittee, monkeypatch: pytest.MonkeyPatch, host: str, own: str | None
) -> None:
    class Probe(socket.socket):
        def connect(self, address: object) -> None:
            if own is None:
                raise OSError("no network")

        def getsockname(self) -> tuple[str | None, int]:
            return own, 1

    monkeypatch.setattr("microcalc.app.security.socket.socket", Probe)
    session = Session(Settings(host=host), reader)
    address = session.address(8118)
    session.close()
    assert address == f"http://{f'[{own}]' if host == '::' else own or '127.0.0.1'}:8118/?token={session.token}"


def test_an_upload_that_says_to_be_too_large_is_refused_before_it_is_read(session: Session) -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("nothing is to be read")
        yield b""

    status, _ = ask(session, [(b"content-length", b"2147483648")], never())
    assert status == 413


@pytest.mark.parametrize("declared", [[], [(b"content-length", b"10")], [(b"transfer-encoding", b"chunked")]])
def test_an_upload_is_refused_where_it_gets_too_large_whatever_it_says(
    session: Session, declared: list[tuple[bytes, bytes]]
) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**16
            yield bytes(2**16)

    status, body = ask(session, declared, endless())
    assert status == 413 and b"larger than 2 MiB" in body
    assert sent <= session.settings.upload_bytes + 2**17
    assert list(session.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "status"), [((b"content-length", b"9" * 5000), 413), ((b"transfer-encoding", b"chunked"), 411)]
)
def test_other_requests_may_be_long_but_not_endless(session: Session, header: tuple[bytes, bytes], status: int) -> None:
    assert (
        ask(session, [(b"content-type", b"application/json"), header], iter([b"x"]), "/api/scan-directory")[0] == status
    )


def test_a_browser_that_goes_away_leaves_nothing_behind(session: Session) -> None:
    ask(session, [], iter([png()[:500]]), gone=True)
    assert list(session.folder.iterdir()) == [] and session.images.all() == []


def ask(
    session: Session,
    headers: list[tuple[bytes, bytes]],
    chunks: Iterator[bytes],
    path: str = "/api/images",
    gone: bool = False,
) -> tuple[int, bytes]:
    """Post chunks as they come, as a browser would that cares little for what it said of them."""
    sent: list[dict] = []

    async def receive() -> dict:
        chunk = next(chunks, None)
        if chunk is None:
            return {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"name=a.png",
        "headers": [(b"host", b"127.0.0.1:8118"), (b"origin", OWN.encode()), (b"x-microcalc", b"1"), *headers],
    }
    asyncio.run(make_app(session)(scope, receive, send))  # type: ignore[arg-type]
    return (sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])) if sent else (0, b"")
