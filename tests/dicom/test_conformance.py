"""docs/conformance.md states what the code does: SOP classes, transfer syntaxes, statuses, options, web requests."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from dicom.made import make_mammogram, make_overlay, outcome_of
from pydicom import uid

from microcalc.app.dicomweb import Server
from microcalc.config import NodeSettings
from microcalc.dicom import receiver, sender, stow
from microcalc.dicom.objects import encode, make_objects
from microcalc.dicom.results import IMPLEMENTATION_UID, OUTLINE_MARGIN_MM
from microcalc.dicom.source import PATIENT_AND_STUDY
from microcalc.errors import FailedError

STATEMENT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
TEXT = " ".join(STATEMENT.split())
LITTLE_ENDIAN = "Explicit and Implicit VR Little Endian"
SYNTAXES = {
    uid.ExplicitVRLittleEndian: LITTLE_ENDIAN,
    uid.ImplicitVRLittleEndian: LITTLE_ENDIAN,
    uid.ExplicitVRBigEndian: "Explicit VR Big Endian",
    uid.JPEGLosslessSV1: "JPEG Lossless (first-order prediction)",
    uid.JPEGLSLossless: "JPEG-LS Lossless",
    uid.JPEG2000Lossless: "JPEG 2000 Lossless",
    uid.RLELossless: "RLE Lossless",
}


def section(title: str) -> str:
    """A chapter of the statement."""
    return STATEMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The rows of its tables, without their heads."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if "---" not in row[0] + after[0]]


def test_the_objects_written_are_those_of_the_table() -> None:
    made = make_objects(outcome_of(3), make_overlay())
    stated = {
        row[0].strip("`").removeprefix("NAME"): row[1:4] for row in rows(section("What is written")) if "NAME" in row[0]
    }
    assert list(stated) == list(made)
    for suffix, result in made.items():
        name, modality, number = stated[suffix]
        assert name.endswith(f", {result.SOPClassUID}")
        assert (modality, number) == (result.Modality, str(result.SeriesNumber))
    assert f"a rectangle {OUTLINE_MARGIN_MM:g} mm outside" in STATEMENT
    assert {str(result.SOPClassUID) for result in made.values()} == set(sender.SOP_CLASSES)
    roots = {str(result.SOPInstanceUID)[:26] for result in made.values()}
    assert all(f"They begin with {root.rstrip('.')}" in STATEMENT for root in roots)


def test_what_is_copied_from_the_mammogram_is_listed() -> None:
    copied = next(row[1] for row in rows(section("What is written")) if row[0] == "all of them")
    words = {
        "IssuerOfPatientID": "ID, its issuer and",
        "IssuerOfPatientIDQualifiersSequence": "the issuer's qualifiers",
    }
    words["IssuerOfAccessionNumberSequence"] = "Number and its issuer"
    for keyword in PATIENT_AND_STUDY:
        last = re.findall("[A-Z][a-z]+|ID|UID", keyword.removesuffix("CodeSequence"))[-1]
        assert words.get(keyword, last) in copied, keyword


def test_the_node_takes_what_the_statement_names() -> None:
    node = section("The node as a storage SCP")
    stated = {row[1].split(",")[1].split()[0] for row in rows(node) if row[0] == "C-STORE"}
    assert stated == set(receiver.SOP_CLASSES)
    statuses = receiver.SUCCESS, receiver.OUT_OF_RESOURCES, receiver.NO_MAMMOGRAM, receiver.CANNOT_UNDERSTAND
    assert [row[0] for row in rows(node) if re.fullmatch("[0-9A-F]{4}", row[0])] == [f"{code:04X}" for code in statuses]
    syntaxes = dict.fromkeys(SYNTAXES[syntax] for syntax in (*receiver._UNCOMPRESSED, *receiver._COMPRESSED))
    assert f"Transfer syntaxes: {', '.join(syntaxes)};" in TEXT
    assert {SYNTAXES[syntax] for syntax in sender.TRANSFER_SYNTAXES} == {LITTLE_ENDIAN}
    assert f"Offered: the four SOP classes above, {LITTLE_ENDIAN}." in TEXT
    assert f"Maximum PDU length {receiver._LARGEST_PDU}, time limits {receiver._PATIENCE_S:g} seconds" in TEXT
    assert f"Implementation Class UID {IMPLEMENTATION_UID}." in TEXT and receiver._PATIENCE_S == stow.PATIENCE_S


def test_each_option_is_named_with_its_default_and_no_other() -> None:
    options = {name.replace("_", "-"): value for name, value in vars(NodeSettings()).items()}
    assert set(re.findall(r"--([a-z][a-z-]+)", STATEMENT)) == options.keys() | {"status", "dicom", "out"}
    for name, value in options.items():
        default = f"{value:g}" if isinstance(value, float) else value
        assert not value or f"`--{name}` ({default})" in TEXT, name


def test_what_counts_as_stored_is_stated() -> None:
    assert stow.HAS_IT == (0, 0x0111) and "status 0000, 0111 (duplicate) and warnings (Bxxx)" in TEXT
    assert stow._ALL_STORED == (200, 201, 204) and "status 200, 201 or 204 means all" in TEXT


@pytest.mark.filterwarnings("ignore:message sent by origin server")  # what is fetched here is no DICOM file
def test_the_requests_to_a_web_server_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(_: object, request: requests.PreparedRequest, **__: object) -> requests.Response:
        path = str(request.url).partition("?")[0].removeprefix("http://pacs/web")
        for value, name in {"1.2.1": "{study}", "1.2.2": "{series}", "1.2.3": "{instance}"}.items():
            path = path.replace(value, name)
        asked.append((f"{request.method} {path}", request.headers["Accept"]))
        response = requests.Response()
        response.status_code, response.headers["Content-Type"] = 200, "application/dicom+json"
        response._content = b'[{"0020000E": {"vr": "UI", "Value": ["1.2.2"]}}]'
        return response

    monkeypatch.setattr("requests.Session.send", answer)
    server = Server("http://pacs/web")
    list(server.store({0: encode(make_mammogram(StudyInstanceUID="1.2.1"))}))
    server.studies()
    server.images("1.2.1")
    with suppress(FailedError):  # of the answer
        server.fetch("1.2.1", "1.2.2", "1.2.3", Path("never.dcm"))
    stated = [request for row in rows(section("DICOMweb")) for request in re.findall("`([A-Z]+ [^`]+)`", row[1])]
    assert [request for request, _ in asked] == stated
    assert (
        asked[0][1] == "application/dicom+json"
        and asked[-1][1] == 'multipart/related; type="application/dicom"; transfer-syntax=*'
    )
    assert all(name in TEXT for name in (stow.USER, stow.PASSWORD, stow.TOKEN))
