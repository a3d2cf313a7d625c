"""Sending by STOW-RS, to a server that answers as servers do (PS3.18 10.5)."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom.made import ALGORITHM, make_findings, make_mammogram, make_overlay, write_mammogram
from dicom.pacs import store, until
from dicom.test_node import answered, node_running

from microcalc.dicom.objects import write_results
from microcalc.dicom.sender import WebServer, destination
from microcalc.errors import FailedError

JSON = "application/dicom+json"


class Server(HTTPServer):
    """Answers each POST with the next of its answers, the last for ever: status, media type, stored and failed.

    Stored and failed are lists of places in the request; the others are not named. Instead of a list of the failed,
    ``failed`` may be their Failure Reason by place; ``stored`` None is an answer without a body.
    """

    def __init__(self, *answers: tuple[int, str, list[int] | None, dict[int, int]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = list(answers), list[tuple[str, list[str]]]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/dicom-web"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        kind = self.headers["Content-Type"]
        boundary = kind.partition("boundary=")[2].encode()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = [part.partition(b"\r\n\r\n")[2][:-2] for part in body.split(b"--" + boundary)[1:-1]]
        uids = [str(pydicom.dcmread(pydicom.filebase.DicomBytesIO(part)).SOPInstanceUID) for part in parts]
        self.server.requests.append((self.path, uids))
        answers = self.server.answers
        status, media, stored, failed = answers.pop(0) if len(answers) > 1 else answers[0]
        content = b"" if stored is None else json.dumps(listed(uids, stored, failed)).encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def listed(uids: list[str], stored: list[int], failed: dict[int, int]) -> dict[str, Any]:
    def item(place: int, **others: Any) -> dict[str, Any]:
        return {"00081155": {"vr": "UI", "Value": [uids[place]]}, **others}

    reasons = {place: {"00081197": {"vr": "US", "Value": [reason]}} for place, reason in failed.items()}
    sequences = {
        "00081199": [item(place) for place in stored],
        "00081198": [item(place, **reasons[place]) for place in failed],
    }
    return {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(*request.param)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    mammogram = write_mammogram(tmp_path / "a.dcm")
    return write_results(mammogram, make_findings(3), make_overlay(), ALGORITHM, tmp_path)[0]


def send(server: Server, files: list[Path]) -> tuple[list[Path], str]:
    """The files that count as stored, and the problem."""
    taken = []
    try:
        for file in WebServer(server.url).send(files):
            taken.append(file)
    except FailedError as error:
        return taken, str(error)
    return taken, ""


@pytest.mark.parametrize(
    "server",
    [
        [(200, JSON, [0, 1, 2], {})],
        [(200, f"{JSON}; charset=utf-8", [0, 1, 2], {})],
        [(200, JSON, None, {})],
        [(204, JSON, None, {})],
        [(200, JSON, [], {})],
        [(202, JSON, [0, 1], {2: 0x0111})],
        [(409, f"{JSON}; charset=utf-8", [], {0: 0x0111, 1: 0x0111, 2: 0x0111})],
    ],
    indirect=True,
    ids=str,
)
def test_answers_that_mean_success(server: Server, results: list[Path]) -> None:
    assert send(server, results) == (results, "")
    ((path, uids),) = server.requests
    read = [pydicom.dcmread(result) for result in results]
    assert path == f"/dicom-web/studies/{read[0].StudyInstanceUID}"
    assert uids == [str(result.SOPInstanceUID) for result in read]


@pytest.mark.parametrize(
    ("server", "taken", "problem"),
    [
        ([(202, JSON, [0, 2], {1: 0x0110})], [0, 2], "HTTP status 202 and did not store Grayscale"),
        ([(200, JSON, [1, 2], {})], [1, 2], "HTTP status 200 and did not store Mammography CAD SR"),
        ([(200, JSON, [], {2: 0xA700})], [0, 1], "HTTP status 200 and did not store Secondary Capture"),
        ([(409, JSON, [], {0: 0x0111, 1: 0x0110, 2: 0x0111})], [0, 2], "HTTP status 409 and did not store Grayscale"),
        ([(202, JSON, None, {})], [], "HTTP status 202"),
        ([(409, "text/html", None, {})], [], "HTTP status 409"),
        ([(503, "text/html", None, {})], [], "HTTP status 503"),
        ([(301, "text/html", None, {})], [], "HTTP status 301"),
    ],
    indirect=["server"],
    ids=str,
)
def test_only_what_was_not_stored_is_a_failure(
    server: Server, taken: list[int], problem: str, results: list[Path]
) -> None:
    found, said = send(server, results)
    assert found == [results[place] for place in taken] and problem in said


@pytest.mark.parametrize(
    "server",
    [[(202, JSON, [0, 2], {1: 0x0110}), (409, JSON, [], {0: 0x0110}), (200, JSON, [0], {})]],
    indirect=True,
    ids=["in part, refused, stored"],
)
def test_a_node_parks_and_sends_again_only_what_failed(server: Server, tmp_path: Path) -> None:
    with node_running(tmp_path, server.url, tries=2) as node:
        store(node.port, make_mammogram())
        assert until(node.queue, lambda: bool(node.queue.parked()))
        (parked,) = node.queue.parked()
        assert len(node.queue.unsent(parked.study)) == 1 and "Grayscale" in parked.problem
    with node_running(tmp_path, server.url) as node:
        assert answered(node, 1)
    (_, first), (_, second), (_, third) = server.requests
    assert len(first) == 3 and second == third == [first[1]]


def test_a_server_that_cannot_be_reached_is_named(results: list[Path]) -> None:
    with pytest.raises(FailedError, match=r"http://127\.0\.0\.1:1/web: cannot be reached"):
        list(destination("http://127.0.0.1:1/web/", "MICROCALC", None).send(results))
