"""Rows of images and exams: what a spreadsheet shows of a scan."""

import json
from dataclasses import replace
from pathlib import Path

from microcalc.mammograms.findings import Finding, ScannedImage
from microcalc.mammograms.words import WORDS, in_one_line, steps
from microcalc.reader.rows import COLUMNS, EXAM_COLUMNS, IMAGE_COLUMNS, Exams, image_row, read_images, table_row


def image(name: str, patient: str | None, study: str | None, side: str | None, view: str, *probabilities: float):
    findings = tuple(
        Finding(n, 0.0, each, each >= 0.5, (9.0, 9.0), (0, 0, 9, 9), 1.0, ()) for n, each in enumerate(probabilities, 1)
    )
    known = name, None, name, (0.08, 0.05), 1000, 1200, 90.0, 1.0, (), findings
    return replace(ScannedImage(*known), patient=patient, study=study, side=side, view=view)  # type: ignore[arg-type]


IMAGES = (
    image("1.dcm", "P1", "S1", "L", "CC", 0.9, 0.6, 0.2),
    image("2.dcm", "P1", "S1", "L", "MLO", 0.7),
    image("3.dcm", "P1", "S1", "R", "CC"),
    image("4.dcm", "P1", "S2", "R", "CC", 0.3),
    image("a/P2_L_CC.png", None, None, "L", "CC", 0.4),
    image("a/P2_R_CC.png", None, None, "R", "CC", 0.8),
)


def test_an_image_without_a_finding_has_a_row_too() -> None:
    row = dict(zip(IMAGE_COLUMNS, image_row(IMAGES[2], is_read=True), strict=True))
    known = {"file": "3.dcm", "patient": "P1", "study": "S1", "side": "R", "view": "CC"}
    sizes = {"row_spacing_mm": "0.08", "column_spacing_mm": "0.05"}
    assert row == {**known, **sizes, "highest_probability": "0", "marks": 0, "read": 1}


def test_the_steps_to_a_probability_are_in_the_table_in_the_words_of_the_page() -> None:
    known = replace(
        IMAGES[0].findings[0], score=2.0, calcifications_px=((9.0, 9.0),), votes=(0.25, 0.5, 0.75), committee=0.25
    )
    row = dict(zip(COLUMNS, table_row(IMAGES[0], known), strict=True))
    assert [row[name] for name in ("votes", "committee", "second_opinion")] == ["0.25 0.50 0.75", "0.25", "+3.1"]
    assert in_one_line(known) == "votes 0.25 0.50 0.75, committee 0.25, second opinion +3.1, final 0.90"
    assert steps(replace(known, score=-0.01, committee=0.5))["second opinion"] == "+0.0"
    assert list(steps(known)) == list(WORDS) and steps(IMAGES[0].findings[0]) == {"final": "0.90"}


def test_exams_are_counted_by_patient_and_study_and_below_by_breast() -> None:
    exams = Exams()
    for each in IMAGES:
        exams.add(each, each.view == "MLO")
    head, *rows = exams.rows()
    assert tuple(head) == EXAM_COLUMNS
    assert [tuple(row) for row in rows] == [
        ("P1", "S1", "", "CC MLO", 3, "0.9", 3, 1),
        ("P1", "S1", "L", "CC MLO", 2, "0.9", 3, 1),
        ("P1", "S1", "R", "CC", 1, "0", 0, 0),
        ("P1", "S2", "", "CC", 1, "0.3", 0, 0),
        ("P1", "S2", "R", "CC", 1, "0.3", 0, 0),
        ("a/P2", "", "", "CC", 2, "0.8", 1, 0),
        ("a/P2", "", "L", "CC", 1, "0.4", 0, 0),
        ("a/P2", "", "R", "CC", 1, "0.8", 1, 0),
    ]


def test_the_images_that_were_read_come_from_the_review_beside_the_scan(tmp_path: Path) -> None:
    assert read_images(tmp_path) == set()
    known = [("1.2", "a", True), (None, "b", True), ("1.3", "c", False)]
    images = [{"sop_instance_uid": uid, "pixels_sha256": sha, "read": read} for uid, sha, read in known]
    (tmp_path / "review.json").write_text(json.dumps({"schema": 2, "reviews": [], "images": images}))
    assert read_images(tmp_path) == {"1.2", "b"}
