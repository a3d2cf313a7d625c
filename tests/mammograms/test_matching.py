"""Findings joined to the truth of their images: oblong pixels of 0.08 x 0.05 mm, three clusters."""

from dataclasses import replace
from typing import Any

import pytest

from microcalc.errors import RequestError
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.mammograms.findings import Finding, Scan, ScannedImage
from microcalc.mammograms.matching import KnownImage, groups, join

ROWS, COLUMNS = 900, 1600
BOXES = ((100.0, 200.0, 140.0, 260.0), (800.0, 300.0, 880.0, 340.0), (1500.0, 700.0, 1599.0, 899.0))


def finding(number: int, center: tuple[float, float], probability: float) -> Finding:
    column, row = (int(each) for each in center)
    return Finding(number, 1.0, probability, True, center, (column, row, column + 9, row + 9), 1.0, ())


def image(file: str, *findings: Finding, uid: str | None = None, sha: str = "", **sizes: Any) -> ScannedImage:
    size = sizes.get("size", (0.08, 0.05))
    return ScannedImage(file, uid, sha or file, size, ROWS, COLUMNS, 9.0, 1.0, (), findings)


def scan(*images: ScannedImage, failed: tuple[str, ...] = ()) -> Scan:
    return Scan(2, "made", 0.5, images, tuple({"file": file, "reason": "broken"} for file in failed))


def joined(scanned: Scan, *truth: ImageTruth, **options: Any) -> list[KnownImage]:
    return join(scanned, truth, **options)[0]


def test_findings_hit_clusters_by_millimetres_of_oblong_pixels() -> None:
    inside = [finding(1, (100 - 49, 230), 0.9), finding(2, (840, 340 + 31), 0.8)]  # 2.5 mm are 50 columns, 31.25 rows
    outside = [finding(3, (100 - 51, 230), 0.7), finding(4, (840, 340 + 32), 0.6)]
    (known,) = joined(scan(image("a.png", *inside, *outside)), ImageTruth("a.png", BOXES))
    assert known.case.scored.clusters.tolist() == pytest.approx([0.9, 0.8, -float("inf")])
    assert known.case.scored.false_marks.tolist() == [0.7, 0.6]
    assert known.false == tuple(outside)


def test_single_calcifications_within_5_mm_of_each_other_are_a_cluster() -> None:
    three = ((100.0, 100.0), (199.0, 100.0), (199.0, 162.0))  # steps of 4.95 mm along rows, 4.96 mm along columns
    two = ((1000.0, 100.0), (1010.0, 100.0))
    apart = ((500.0, 500.0), (500.0, 563.0), (500.0, 626.0))  # 5.04 mm
    (known,) = joined(scan(image("a.png")), ImageTruth("a.png", BOXES[:1], calcifications_px=(*three, *two, *apart)))
    assert known.boxes_px == (BOXES[0], (100.0, 100.0, 199.0, 162.0))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("P1/a.png", "../data/P1/a.png"),
        ("a.png", "/data/P1/a.png"),
        ("C:\\data\\P1\\a.png", "P1/a.png"),
        ("./P1/a", "P1/a.png"),
        ("a.dcm", "P1/a.png"),
        ("1.2.3.1", "P1/1.2.3.1.dcm"),
        ("20586908", "20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm"),
        ("Calc-Test_P_00038_LEFT_CC", "Calc-Test_P_00038_LEFT_CC/1.2/1.3/1-1.dcm"),
        ("Mu\u0308ller.png", "M\u00fcller.png"),
    ],
)
def test_an_image_is_known_by_the_end_of_its_path(name: str, file: str) -> None:
    (known,) = joined(scan(image("other/b.png"), image(file)), ImageTruth(name, BOXES), others="skip")
    assert known.scanned.file == file


def test_the_very_name_wins_over_the_same_name_with_another_suffix() -> None:
    (known,) = joined(scan(image("a.dcm"), image("a.png")), ImageTruth("a.png", BOXES), others="skip")
    assert known.scanned.file == "a.png"


def test_a_whole_path_wins_over_another_that_ends_with_it() -> None:
    files = ["/d/a.png", "/other/d/a.png", "a.png"]
    known = joined(scan(*map(image, files)), *(ImageTruth(file, patient=str(n)) for n, file in enumerate(files)))
    assert [each.case.patient for each in known] == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["P2/a.png", "1.2.3", "b.png"])
def test_another_folders_image_is_not_taken(name: str) -> None:
    with pytest.raises(RequestError, match=f"{name}: has truth but is not in the scan"):
        join(scan(image("P1/a.png"), image("1.2.3.1.dcm")), [ImageTruth(name, BOXES)])


def test_uid_and_hash_count_before_any_name() -> None:
    first, second, third = image("b.dcm", uid="1.2.1"), image("a.dcm", uid="1.2.2"), image("c.png", sha="cccc")
    truth = [ImageTruth("a.dcm", BOXES[:1], sop_instance_uid="1.2.1"), ImageTruth("b.dcm", sop_instance_uid="1.2.2")]
    known = joined(scan(first, second, third), *truth, ImageTruth("a.dcm", BOXES, pixels_sha256="cccc"))
    assert [(each.scanned.file, len(each.boxes_px)) for each in known] == [("b.dcm", 1), ("a.dcm", 0), ("c.png", 3)]


@pytest.mark.parametrize("identity", [{"sop_instance_uid": "1.2.9"}, {"pixels_sha256": "dddd"}])
def test_a_truth_of_another_uid_or_hash_is_not_taken_by_name(identity: dict[str, str]) -> None:
    with pytest.raises(RequestError, match="has truth but is not in the scan"):
        join(scan(image("a.dcm", uid="1.2.1")), [ImageTruth("a.dcm", BOXES, **identity)])


def test_a_uid_that_the_image_lacks_leaves_its_name() -> None:
    assert joined(scan(image("a.png")), ImageTruth("a.png", BOXES, sop_instance_uid="1.2.9"))[0].boxes_px == BOXES


@pytest.mark.parametrize(
    ("scanned", "truth", "problem"),
    [
        (
            scan(image("P1/a.png"), image("P2/a.png")),
            [ImageTruth("a.png")],
            "a.png: is the truth of 2 images .P1/a.png, P2",
        ),
        (scan(image("P1/a.png")), [ImageTruth("P1/a.png"), ImageTruth("a")], "has two truths, as P1/a.png and as a;"),
        (scan(image("a.png"), image("b.png")), [ImageTruth("a.png")], r"b.png: has no truth \(1 of 2 .*--others"),
        (
            scan(image("a.png")),
            [ImageTruth("a.png", ((0.0, 0.0, 1600.5, 9.0),))],
            "a.png: a cluster of its truth a.png",
        ),
        (
            scan(image("a.png")),
            [ImageTruth("a.png", ((0.0, 0.0, 9.0, 901.0),))],
            "lies outside the image: 0, 0, 9, 901",
        ),
        (scan(image("a.png")), [ImageTruth("a.png", ((-2.0, 0.0, 9.0, 9.0),))], "outside"),
        (scan(image("a.png")), [ImageTruth("a.png", ((0.0, -2.0, 9.0, 9.0),))], "outside"),
        (scan(image("a.png")), [ImageTruth("a.png", shape=(COLUMNS, ROWS))], r"\(900, 1600\) .* but \(1600, 900\)"),
    ],
)
def test_what_cannot_be_joined_is_named(scanned: Scan, truth: list[ImageTruth], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        join(scanned, truth)


def test_others_are_normal_or_skipped_only_on_request() -> None:
    scanned, truth = scan(image("a.png"), image("b.png")), [ImageTruth("a.png", BOXES)]
    assert [len(each.boxes_px) for each in joined(scanned, *truth, others="normal")] == [3, 0]
    assert [len(each.boxes_px) for each in joined(scanned, *truth, ImageTruth("c.png"), others="skip")] == [3]


def test_truth_of_a_file_that_could_not_be_scanned_is_listed() -> None:
    known, not_scanned = join(
        scan(image("a.png"), failed=("x/b.png",)), [ImageTruth("a.png"), ImageTruth("b.png", BOXES)]
    )
    assert ([each.scanned.file for each in known], not_scanned) == (["a.png"], ["x/b.png"])


def test_patients_and_breasts_come_from_truth_or_names() -> None:
    files = [
        "x/P1_LCC.png",
        "x/P1_LMLO.png",
        "x/P1_RIGHT_CC.png",
        "y/P1_LCC.png",
        "z.png",
        "9_6c613a14b80a8591_MG_L_ML_X.dcm",
    ]
    truth = [ImageTruth(file) for file in files[:5]]
    truth[2] = ImageTruth(files[2], patient="given")
    truth += [ImageTruth("9", patient_in_name=r"^\d+_([0-9a-f]{16})_MG_")]
    cases = [each.case for each in joined(scan(*map(image, files)), *truth)]
    assert [case.patient for case in cases] == ["given", "given", "given", "y/P1", "z.png", "6c613a14b80a8591"]
    assert [case.breast for case in cases] == ["given L", "given L", "given R", "y/P1 L", "z.png", "6c613a14b80a8591 L"]


def test_images_without_truth_belong_to_the_patients_of_those_with_it() -> None:
    files = ["1_6c613a14b80a8591_MG_L_ML_X.dcm", "2_6c613a14b80a8591_MG_R_ML_X.dcm", "3_8269f5025b0ba3f4_MG_L_CC_X.dcm"]
    images = [replace(image(file), patient="removed") for file in files]
    pattern = r"^\d+_([0-9a-f]{16})_MG_"
    inbreast = joined(scan(*images), ImageTruth("1", BOXES, patient_in_name=pattern), others="normal")
    assert [each.case.patient for each in inbreast] == ["6c613a14b80a8591", "6c613a14b80a8591", "8269f5025b0ba3f4"]
    named = [replace(image(f"{n}.dcm"), patient=patient) for n, patient in enumerate("AABBB")]
    truth = [ImageTruth(f"{n}.dcm", BOXES, patient=given) for n, given in ((0, "T"), (2, "U"), (3, "V"))]
    assert [each.case.patient for each in joined(scan(*named), *truth, others="normal")] == ["T", "T", "U", "V", "B"]


def test_patient_side_and_view_of_dicom_count_before_the_name() -> None:
    known = [("1.dcm", "A", "L", "CC"), ("2.dcm", "A", "R", "CC"), ("P7_LCC.dcm", "B", "R", "MLO")]
    known += [("P7_RMLO.dcm", None, None, None), ("5.dcm", "C", None, None)]
    images = [
        replace(image(file), patient=patient, side=side, view=view)  # type: ignore[arg-type]
        for file, patient, side, view in known
    ]
    found = joined(scan(*images), ImageTruth("2.dcm", BOXES, patient="T"), others="normal")
    assert [each.case.patient for each in found] == ["T", "T", "B", "P7", "C"]
    assert [each.case.breast for each in found] == ["T L", "T R", "B R", "P7 R", "5.dcm"]
    counted = {kind: {value: len(cases) for value, cases in values.items()} for kind, values in groups(found).items()}
    assert counted == {"side": {"L": 1, "R": 3, "unknown": 1}, "view": {"CC": 2, "MLO": 2, "unknown": 1}}


def test_images_of_a_study_without_a_patient_id_are_of_one_patient() -> None:
    known = [("IM1.dcm", None, "1.2"), ("IM2.dcm", None, "1.2"), ("IM3.dcm", "A", "1.2"), ("IM4.dcm", None, None)]
    known += [("P7_LCC.dcm", None, "1.3"), ("P7_RCC.dcm", None, "1.4")]
    images = [replace(image(file), patient=patient, study=study) for file, patient, study in known]
    patients = [each.case.patient for each in joined(scan(*images), others="normal")]
    assert patients == ["1.2", "1.2", "A", "IM4.dcm", "P7", "P7"]


def test_images_are_grouped_where_there_are_fewer_kinds_than_patients() -> None:
    files = [
        f"data/{source}/P{n}_{side}{view}.png"
        for n, source in enumerate("aab")
        for side in "LR"
        for view in ("CC", "MLO")
    ]
    images = [image(file, size=(0.08, 0.05) if "/b/" in file else (0.07, 0.07)) for file in files]
    found = groups(joined(scan(*images), others="normal"))
    assert {kind: {value: len(cases) for value, cases in values.items()} for kind, values in found.items()} == {
        "side": {"L": 6, "R": 6},
        "view": {"CC": 6, "MLO": 6},
        "folder": {"a": 8, "b": 4},
        "pixel size": {"0.07 x 0.07 mm": 8, "0.08 x 0.05 mm": 4},
    }
    assert groups(joined(scan(*images[:4]), others="normal")) == {}
