"""docs/conformance.md states what the code does: SOP classes, transfer syntaxes, statuses, numbers and options."""

import re
from pathlib import Path

from dicom.made import ALGORITHM, make_findings, make_mammogram, make_overlay
from pydicom import uid

from microcalc.config import NodeSettings
from microcalc.dicom import receiver, sender, stow
from microcalc.dicom.objects import encode, make_objects
from microcalc.dicom.results import OUTLINE_MARGIN_MM, Outcome
from microcalc.dicom.source import PATIENT_AND_STUDY, read_source

STATEMENT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
SYNTAXES = {
    uid.ExplicitVRLittleEndian: "Explicit and Implicit VR Little Endian",
    uid.ImplicitVRLittleEndian: "Explicit and Implicit VR Little Endian",
    uid.ExplicitVRBigEndian: "Explicit VR Big Endian",
    uid.JPEGLosslessSV1: "JPEG Lossless (first-order prediction)",
    uid.JPEGLSLossless: "JPEG-LS\nLossless",
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
    outcome = Outcome(read_source(encode(make_mammogram())), make_findings(3), ALGORITHM)
    made = make_objects(outcome, make_overlay())
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
    words = {"IssuerOfPatientID": "Issuer of Patient ID", "IssuerOfAccessionNumberSequence": "its issuer"}
    for keyword in PATIENT_AND_STUDY:
        last = re.findall("[A-Z][a-z]+|ID|UID", keyword.removesuffix("CodeSequence"))[-1]
        assert words.get(keyword, last) in copied, keyword


def test_the_node_takes_what_the_statement_names() -> None:
    node = section("The node as a storage SCP")
    stated = {row[1].split(",")[1].split()[0] for row in rows(node) if row[0] == "C-STORE"}
    assert stated == set(receiver.SOP_CLASSES)
    statuses = receiver.SUCCESS, receiver.OUT_OF_RESOURCES, receiver.NO_MAMMOGRAM, receiver.CANNOT_UNDERSTAND
    assert [row[0] for row in rows(node) if re.fullmatch("[0-9A-F]{4}", row[0])] == [f"{code:04X}" for code in statuses]
    for syntax in (*receiver._UNCOMPRESSED, *receiver._COMPRESSED):
        assert SYNTAXES[syntax] in node


def test_each_option_that_is_named_exists() -> None:
    known = {name.replace("_", "-") for name in vars(NodeSettings())} | {"status", "dicom", "out"}
    assert set(re.findall(r"--([a-z][a-z-]+)", STATEMENT)) <= known


def test_numbers_are_those_of_the_settings() -> None:
    settings, text = NodeSettings(), " ".join(STATEMENT.split())
    assert f"for `--quiet-s` seconds ({settings.quiet_s:g})" in text
    assert f"tried again after {settings.pause_s:g} seconds" in text and settings.longest_pause_s == 3600
    assert f"after {settings.tries} tries" in text
    assert f"The node listens on {settings.bind} unless" in text
    assert stow.HAS_IT == (0, 0x0111) and "status 0000, 0111 (duplicate) and warnings (Bxxx)" in text
    assert all(str(status) in text for status in (200, 201, 204))
