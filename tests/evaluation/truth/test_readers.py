"""Each format of truth, written by its documented structure and read back: three clusters in an oblong image."""

import csv
import json
import plistlib
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from microcalc.errors import RequestError
from microcalc.evaluation.truth import read_truth
from microcalc.evaluation.truth.image import ImageTruth
from microcalc.files import write_json
from microcalc.mammograms.truth import Truth, true_image

ROWS, COLUMNS = 90, 160
BOXES = ((100.0, 5.0, 110.0, 60.0), (10.0, 20.0, 40.0, 30.0), (150.0, 80.0, 159.0, 89.0))


def outlines(*boxes: tuple[float, ...]) -> list[list[tuple[float, float]]]:
    return [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, top, right, bottom in boxes]


def write_mask(path: Path, *boxes: tuple[float, ...], shape: tuple[int, int] = (ROWS, COLUMNS)) -> None:
    mask = np.zeros(shape, np.uint8)
    for left, top, right, bottom in boxes:
        mask[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(mask).save(path)


def write_rows(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def as_table(folder: Path) -> Path:
    sides = [dict(zip(("left", "top", "right", "bottom"), box, strict=True)) for box in BOXES]
    rows = [{"file": "P1/a.png", **each, "patient": "P1"} for each in sides]
    empty = {"file": "P2/b.png", "left": "", "top": "", "right": "", "bottom": "", "patient": "P2"}
    write_rows(folder / "truth.csv", [*rows, empty], delimiter=";")
    return folder / "truth.csv"


def as_masks(folder: Path) -> Path:
    write_mask(folder / "P1" / "a_clusters.png", *BOXES)
    write_mask(folder / "P2" / "b_mask.png")
    write_mask(folder / "P2" / "b.png", *BOXES)  # an image, no mask
    return folder


def region(name: str, points: list[tuple[float, float]]) -> dict[str, Any]:
    return {"Name": name, "NumberOfPoints": len(points), "Point_px": [f"({x:f}, {y:f})" for x, y in points], "Type": 15}


def as_inbreast(folder: Path) -> Path:
    regions = [region("Cluster", points) for points in outlines(*BOXES)]
    regions += [region("Mass", [(1.0, 1.0), (9.0, 1.0), (9.0, 9.0)]), region("Calcification", [(15.0, 25.0)])]
    for name, listed in (("20586908", regions), ("20586934", regions[3:4])):
        image = {"ImageIndex": 0, "NumberOfROIs": len(listed), "ROIs": listed}
        (folder / f"{name}.xml").write_bytes(plistlib.dumps({"Images": [image]}))
    return folder


def as_cbis_ddsm(folder: Path) -> Path:
    rows = []
    for image, number, kind in (("P_00038_LEFT_CC", n, "calcification") for n in (1, 2, 3)):
        mask = f"Calc-Test_{image}_{number}"
        write_mask(folder / "CBIS-DDSM" / mask / "1.2.3" / "1-2.png", BOXES[number - 1])
        write_mask(folder / "CBIS-DDSM" / mask / "1.2.3" / "1-1.png", (0, 0, 29, 29), shape=(30, 30))  # the crop
        paths = {
            "image file path": f"Calc-Test_{image}/1.2.3/000000.dcm",
            "ROI mask file path": f"{mask}/1/000001.dcm\n",
        }
        rows.append({"patient_id": "P_00038", "abnormality id": number, "abnormality type": kind, **paths})
    mass = {"image file path": "Mass-Test_P_00039_LEFT_CC/1/000000.dcm", "ROI mask file path": "gone/1/000000.dcm"}
    rows.append({"patient_id": "P_00039", "abnormality id": 1, "abnormality type": "mass", **mass})
    write_rows(folder / "calc_case_description_test_set.csv", rows)
    return folder / "calc_case_description_test_set.csv"


def as_coco(folder: Path) -> Path:
    images = [
        {"id": 7, "file_name": "P1/a.png", "height": ROWS, "width": COLUMNS, "patient": "P1"},
        {"id": 8, "file_name": "P2/b.png", "height": ROWS, "width": COLUMNS, "patient": "P2"},
    ]
    categories = [{"id": 1, "name": "mass"}, {"id": 2, "name": "Microcalcification"}]
    boxes = [[left + 0.5, top + 0.5, right - left, bottom - top] for left, top, right, bottom in BOXES]
    annotations = [{"id": n, "image_id": 7, "category_id": 2, "bbox": box} for n, box in enumerate(boxes)]
    annotations.append({"id": 9, "image_id": 8, "category_id": 1, "bbox": [1, 1, 5, 5]})
    saved = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(saved))
    return folder / "coco.json"


def as_review(folder: Path) -> Path:
    verdicts = [("aaaa", box, "accepted") for box in BOXES] + [("aaaa", (1, 1, 5, 5), "rejected")]
    verdicts += [("bbbb", (1, 1, 5, 5), "rejected"), ("cccc", (1, 1, 5, 5), None)]
    reviews = [
        {"file": f"{sha}.png", "sop_instance_uid": None, "pixels_sha256": sha, "number": n, "box_px": box}
        | {"verdict": verdict, "note": "", "at": "2026-01-01T00:00:00Z", "history": []}
        for n, (sha, box, verdict) in enumerate(verdicts)
    ]
    (folder / "review.json").write_text(json.dumps({"schema": 2, "reviews": reviews}))
    return folder / "review.json"


def as_reading(folder: Path) -> Path:
    """Two clusters are drawn, one is an accepted finding; only two of the images are read."""
    saved = json.loads(as_review(folder).read_text())
    saved["reviews"] = [each for each in saved["reviews"] if each["number"] not in (1, 2)]
    clusters = {"aaaa": BOXES[1:], "bbbb": (), "cccc": BOXES}
    saved["images"] = [
        {"file": f"{sha}.png", "sop_instance_uid": None, "pixels_sha256": sha, "read": sha != "cccc"}
        | {"clusters_px": drawn, "rulers_px": [], "seconds": 9.5, "marks_shown": False}
        | {"at": "2026-01-01T00:00:00Z", "history": []}
        for sha, drawn in clusters.items()
    ]
    (folder / "review.json").write_text(json.dumps(saved))
    return folder / "review.json"


def as_phantom(folder: Path) -> Path:
    clusters = [[(left, top), (right, bottom)] for left, top, right, bottom in BOXES]
    images = [
        true_image(f"{n}.png", (ROWS, COLUMNS), (0.08, 0.05), each, 9.0, n)
        for n, each in zip("ab", (clusters, []), strict=True)
    ]
    write_json(folder / "truth.json", asdict(Truth(1, tuple(images))))
    return folder


@pytest.mark.parametrize(
    "write", [as_table, as_masks, as_inbreast, as_cbis_ddsm, as_coco, as_review, as_reading, as_phantom]
)
def test_three_clusters_come_back_from_every_format_and_the_other_image_is_normal(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    first, second = read_truth(write(tmp_path))
    assert first.boxes_px == BOXES
    assert second.boxes_px == first.calcifications_px == second.calcifications_px == ()


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (as_table, ImageTruth("P1/a.png", BOXES, patient="P1")),
        (as_masks, ImageTruth("P1/a", BOXES, patient="P1", shape=(ROWS, COLUMNS))),
        (as_inbreast, ImageTruth("20586908", BOXES, patient_in_name=r"^\d+_([0-9a-f]{16})_MG_")),
        (as_cbis_ddsm, ImageTruth("Calc-Test_P_00038_LEFT_CC", BOXES, patient="P_00038", shape=(ROWS, COLUMNS))),
        (as_coco, ImageTruth("P1/a.png", BOXES, patient="P1", shape=(ROWS, COLUMNS))),
        (as_review, ImageTruth("aaaa.png", BOXES, pixels_sha256="aaaa")),
        (as_phantom, ImageTruth("a.png", BOXES, pixels_sha256="a", shape=(ROWS, COLUMNS))),
    ],
)
def test_an_image_is_named_as_far_as_its_format_does(
    tmp_path: Path, write: Callable[[Path], Path], expected: ImageTruth
) -> None:
    assert read_truth(write(tmp_path))[0] == expected


def test_each_component_of_a_calcification_mask_is_one_calcification(tmp_path: Path) -> None:
    write_mask(tmp_path / "a_calcifications.png", (10, 20, 12, 20), (13, 21, 13, 21), (50, 30, 50, 34), (90, 3, 90, 3))
    (image,) = read_truth(tmp_path)
    assert image.name == "a"
    assert image.patient is None
    assert image.calcifications_px == ((90.0, 3.0), (11.5, 20.25), (50.0, 32.0))


def test_inbreasts_calcifications_outside_its_clusters_stay_single(tmp_path: Path) -> None:
    regions = [region("Cluster", outlines(BOXES[1])[0]), region("Calcification", [(20.0, 25.0)])]
    regions += [
        region("Calcifications", points) for points in outlines((60.0, 40.0, 62.0, 44.0), (70.0, 40.0, 70.0, 40.0))
    ]
    (tmp_path / "20586908.xml").write_bytes(plistlib.dumps({"Images": [{"ROIs": regions}]}))
    (image,) = read_truth(tmp_path / "20586908.xml")
    assert image.boxes_px == BOXES[1:2]
    assert image.calcifications_px == ((61.0, 42.0), (70.0, 40.0))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("truth.csv", "file,left,top,right\na.png,1,2,3\n", "lacks the columns bottom"),
        ("truth.csv", "file,left,top,right,bottom\na.png,9,2,3,4\n", "a.png: 9, 2, 3, 4 is no box"),
        ("truth.csv", "file,left,top,right,bottom\na.png,1,2,x,4\n", "a.png: 1, 2, x, 4 is no box"),
        ("truth.csv", "file,left,top,right,bottom\na.png,1,2,,\n", "a.png: 1, 2, ,  is no box"),
        ("truth.csv", "file,left,top,right,bottom\n", "lacks the columns"),
        (
            "truth.csv",
            "file,left,top,right,bottom,patient\na.png,1,2,3,4,P1\na.png,5,6,7,8,P2\n",
            "a.png: has two values of patient, P1 and P2",
        ),
        ("coco.json", '{"images": [], "annotations": {}}', "is not as its format has it"),
        (
            "coco.json",
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "mass"}, {"id": 2, "name": "cyst"}]}',
            "no category named calcification or cluster: got mass, cyst",
        ),
        (
            "coco.json",
            '{"images": [], "annotations": [{"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]}], '
            '"categories": [{"id": 1, "name": "x"}]}',
            "is not as its format has it (KeyError(3))",
        ),
        ("a.xml", "<plist><dict></dict></plist>", "is not as its format has it"),
        ("a.xml", "no XML", "is not as its format has it"),
        ("review.json", '{"schema": 2, "reviews": [{"box_px": [1, 2]}]}', "is not as its format has it"),
        ("review.json", '{"schema": 2, "reviews": []}', "holds no truth"),
        (
            "review.json",
            '{"schema": 2, "reviews": [{"verdict": "accepted"}], "images": [{"read": false}]}',
            "no image in it is marked as read",
        ),
        ("a.csv", "\x00", "lacks the columns"),
    ],
)
def test_truth_that_is_not_as_its_format_has_it_is_refused_in_one_line_that_names_it(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RequestError, match=re.escape(problem)) as caught:
        read_truth(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_row_of_a_file_is_enough_to_give_its_patient(tmp_path: Path) -> None:
    for rows in (["P1", "", ""], ["", "P1", ""], ["", "", "P1"]):
        lines = [f"a.png,{10 * n},20,{10 * n + 5},60,{patient}" for n, patient in enumerate(rows)]
        (tmp_path / "truth.csv").write_text("\n".join(["file,left,top,right,bottom,patient", *lines]))
        (image,) = read_truth(tmp_path / "truth.csv")
        assert (image.patient, len(image.boxes_px)) == ("P1", 3)


def test_a_place_without_truth_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.csv"):
        with pytest.raises(RequestError, match="give a CSV"):
            read_truth(path)


def test_a_mask_that_cbis_ddsm_needs_and_is_not_there_is_named(tmp_path: Path) -> None:
    path = as_cbis_ddsm(tmp_path)
    (tmp_path / "CBIS-DDSM" / "Calc-Test_P_00038_LEFT_CC_2" / "1.2.3" / "1-1.png").unlink()
    assert read_truth(path)[0].boxes_px == BOXES
    (tmp_path / "CBIS-DDSM" / "Calc-Test_P_00038_LEFT_CC_2" / "1.2.3" / "1-2.png").unlink()
    with pytest.raises(RequestError, match="no mask in Calc-Test_P_00038_LEFT_CC_2/"):
        read_truth(path)
