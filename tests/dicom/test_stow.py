"""Sending by STOW-RS, to a server that answers as servers do (PS3.18 10.5); the slow tests send to Orthanc."""

import json
from collections.abc import Callable
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from dicom.made import ALGORITHM, make_findings, make_mammogram, make_overlay, write_mammogram
from dicom.pacs import store, until
from dicom.test_node import answered, node_running

from microcalc.dicom.objects import write_results
from microcalc.dicom.sender import destination
from microcalc.errors import FailedError

URL = "http://pacs.example/dicom-web"
JSON = "application/dicom+json"
Answer = tuple[int, str, list[int] | None, dict[int, int]]
"""Status, media type, places in the request that are named as stored (None: no body), and Failure Reason by place."""
Server = Callable[..., list[list[str]]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Make a server give these answers, the last for ever; returns a list that fills with the UIDs of each request."""

    def made(*answers: Answer) -> list[list[str]]:
        received, left = list[list[str]](), list(answers)

        def post(
            _: object, url: str, body: bytes, headers: dict[str, str], timeout: float, allow_redirects: bool
        ) -> Any:
            parts: Any = message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
            sent = [pydicom.dcmread(BytesIO(part.get_payload(decode=True))) for part in parts.get_payload()]
            assert {part.get_content_type() for part in parts.get_payload()} == {"application/dicom"}
            assert url == f"{URL}/studies/{sent[0].StudyInstanceUID}"
            received.append([str(result.SOPInstanceUID) for result in sent])
            status, media, stored, failed = left.pop(0) if len(left) > 1 else left[0]
            response = requests.Response()
            response.status_code = 200 if status == 301 and allow_redirects else status
            response.headers["Content-Type"] = media
            response._content = b"" if stored is None else body_of(received[-1], stored, failed)
            return response

        monkeypatch.setattr("requests.Session.post", post)
        return received

    return made


def body_of(uids: list[str], stored: list[int], failed: dict[int, int]) -> bytes:
    def items(places: list[int]) -> list[dict[str, Any]]:
        reasons = {place: {"00081197": {"vr": "US", "Value": [reason]}} for place, reason in failed.items()}
        return [{"00081155": {"vr": "UI", "Value": [uids[place]]}, **reasons.get(place, {})} for place in places]

    sequences = {"00081199": items(stored), "00081198": items(list(failed))}
    body = {tag: {"vr": "SQ", "Value": value} for tag, value in sequences.items() if value}
    return json.dumps([body] if failed else body).encode()  # an object, or a list of one: servers send both


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "taken", "problem"),
    [
        ((200, JSON, [0, 1, 2], {}), [0, 1, 2], ""),
        ((200, f"{JSON}; charset=utf-8", [0, 1, 2], {}), [0, 1, 2], ""),
        ((200, JSON, None, {}), [0, 1, 2], ""),
        ((204, JSON, None, {}), [0, 1, 2], ""),
        ((200, JSON, [], {}), [0, 1, 2], ""),
        ((202, JSON, [0, 1], {2: 0x0111}), [0, 1, 2], ""),
        ((409, f"{JSON}; charset=utf-8", [], {0: 0x0111, 1: 0x0111, 2: 0x0111}), [0, 1, 2], ""),
        ((202, JSON, [0, 2], {1: 0x0110}), [0, 2], "HTTP status 202 and did not store Grayscale"),
        ((200, JSON, [1, 2], {}), [1, 2], "HTTP status 200 and did not store Mammography CAD SR"),
        ((200, JSON, [], {2: 0xA700}), [0, 1], "HTTP status 200 and did not store Secondary Capture"),
        ((409, JSON, [], {0: 0x0111, 1: 0x0110, 2: 0x0111}), [0, 2], "HTTP status 409 and did not store Grayscale"),
        ((202, JSON, None, {}), [], "HTTP status 202"),
        ((409, "text/html", None, {}), [], "HTTP status 409"),
        ((503, "text/html", None, {}), [], "HTTP status 503"),
        ((301, "text/html", None, {}), [], "HTTP status 301"),
    ],
    ids=str,
)
def test_results_count_as_stored_where_the_answer_means_it(
    answer: Answer, taken: list[int], problem: str, server: Server, tmp_path: Path
) -> None:
    mammogram = write_mammogram(tmp_path / "a.dcm")
    results = write_results(mammogram, make_findings(3), make_overlay(), ALGORITHM, tmp_path)[0][:3]
    requests, found, said = server(answer), list[Path](), ""
    try:
        for result in destination(f"{URL}/", "MICROCALC", None).send(results):
            found.append(result)  # one by one: the sender may fail after some
    except FailedError as error:
        said = str(error)
    assert requests == [[str(pydicom.dcmread(result).SOPInstanceUID) for result in results]]
    assert found == [results[place] for place in taken]
    assert problem in said and bool(said) == bool(problem)


def test_a_node_parks_and_sends_again_only_what_failed(server: Server, tmp_path: Path) -> None:
    requests = server((202, JSON, [0, 2, 3], {1: 0x0110}), (409, JSON, [], {0: 0x0110}), (200, JSON, [0], {}))
    with node_running(tmp_path, URL, tries=2) as node:
        store(node.port, make_mammogram())
        assert until(node.queue, lambda: bool(node.queue.parked()))
        (parked,) = node.queue.parked()
        assert len(node.queue.unsent(parked.study)) == 1 and "Grayscale" in parked.problem
    with node_running(tmp_path, URL) as node:
        assert answered(node, 1)
    first, second, third = requests
    assert len(first) == 4 and second == third == [first[1]]


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"http://127\.0\.0\.1:1/web: cannot be reached"):
        list(destination("http://127.0.0.1:1/web/", "MICROCALC", None).send([write_mammogram(tmp_path / "a.dcm")]))
