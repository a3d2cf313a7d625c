"""``microcalc evaluate``: a page and a JSON file on three oblong images with three clusters each."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from microcalc.cli import main
from microcalc.images import read_mammogram
from microcalc.mammograms.findings import Finding, ScannedImage

ROWS, COLUMNS, SIZE = 400, 700, (0.08, 0.05)
CENTERS = ((100, 60), (400, 200), (640, 360))
LINES = [f"P{n // 2}_{'LR'[n % 2]}CC.png,{x - 20},{y - 10},{x + 20},{y + 10}" for n in range(3) for x, y in CENTERS]


def finding(number: int, center: tuple[float, float], probability: float, threshold: float) -> Finding:
    column, row = center
    box = (int(column) - 9, int(row) - 9, int(column) + 9, int(row) + 9)
    return Finding(number, 1.0, probability, probability >= threshold, center, box, 1.0, ())


def write_scan(folder: Path, threshold: float = 0.5, more: float = 0.0) -> Path:
    """Six images of three patients; the odd ones are normal. Each image has a false mark of 0.6 and one of 0.3."""
    random = np.random.default_rng(0)
    folder.mkdir()
    entries = []
    for number in range(6):
        file = folder.parent / f"P{number // 2}_{'LR'[number % 2]}CC.png"
        if not file.exists():
            PIL.Image.fromarray(random.integers(50, 200, (ROWS, COLUMNS), np.uint8)).save(file)
        hits = [(center, score + more) for center, score in zip(CENTERS, (0.9, 0.7, 0.3), strict=True)][
            : 9 * (number < 3)
        ]
        placed = [*hits, ((300.0, 30.0), 0.6), ((500.0, 90.0), 0.3)]
        findings = tuple(finding(n, center, score, threshold) for n, (center, score) in enumerate(placed, 1))
        sha = read_mammogram(file).pixels_sha256
        scanned = ScannedImage(f"../{file.name}", None, sha, SIZE, ROWS, COLUMNS, 90.0, 1.0, (), findings)
        entries.append(scanned.to_dict())
    head = {"schema": 2, "committee": "made", "operating_point": threshold}
    saved = head | {"images": entries, "failed": [{"file": "gone.png", "reason": "broken"}]}
    (folder / "findings.json").write_text(json.dumps(saved))
    return folder


def evaluate(folder: Path, *options: str, lines: list[str] = LINES) -> dict[str, Any]:
    (folder / "truth.csv").write_text("\n".join(["file,left,top,right,bottom", *lines, "gone.png,1,1,9,9"]))
    arguments = ["evaluate", str(folder / "found"), "--truth", str(folder / "truth.csv"), "--others", "normal"]
    main([*arguments, "--out", str(folder / "out"), "-q", *options])
    saved: dict[str, Any] = json.loads((folder / "out" / "evaluation.json").read_text())
    return saved


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The record and the page of one evaluation."""
    folder = tmp_path_factory.mktemp("evaluated")
    write_scan(folder / "found")
    return evaluate(folder), (folder / "out" / "evaluation.html").read_text()


def test_the_record_holds_figures_counts_thresholds_and_what_was_missed(evaluated: tuple[dict[str, Any], str]) -> None:
    saved, _ = evaluated
    assert [saved[name] for name in ("schema", "images", "patients", "clusters", "normal_images")] == [1, 6, 3, 9, 3]
    values = {name: each["value"] for name, each in saved["figures"].items()}
    assert values["sensitivity"] == pytest.approx(6 / 9)
    assert values["false_marks"] == values["false_marks_on_normals"] == 1.0
    assert values["auc_by_image"] == 1.0
    assert saved["thresholds"]["0.5"] == pytest.approx(0.7)
    assert saved["thresholds"]["1"] == pytest.approx(0.6)
    assert saved["curve"]["threshold"][:4] == [None, 0.9, 0.7, 0.6]
    assert saved["curve"]["false_marks_on_normals"][:4] == [0.0, 0.0, 0.0, 1.0]
    assert [each["probability"] for each in saved["missed"]] == pytest.approx([0.3] * 3)
    assert saved["missed"][0]["box_px"] == [620.0, 350.0, 660.0, 370.0]
    assert [each["probability"] for each in saved["false_marks"]] == pytest.approx([0.6] * 6)
    assert saved["not_scanned"] == ["gone.png"]
    assert {kind: list(values) for kind, values in saved["groups"].items()} == {"side": ["L", "R"]}
    assert saved["groups"]["side"]["R"]["clusters"] == 3


def test_the_page_needs_nothing_but_itself_and_shows_what_was_missed(evaluated: tuple[dict[str, Any], str]) -> None:
    _, page = evaluated
    assert "6 images of 3 patients, 9 clusters; 3 images without a cluster" in page
    assert "Missed clusters: 3" in page
    assert "False marks: 6" in page
    assert "1 images with truth could not be scanned" in page
    assert page.count('src="data:image/png;base64,') == 5
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "nan" not in re.sub(r'src="[^"]*"', "", page).lower()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_images_that_are_gone_or_have_changed_have_no_picture(tmp_path: Path) -> None:
    write_scan(tmp_path / "found")
    (tmp_path / "P0_LCC.png").unlink()
    PIL.Image.fromarray(np.zeros((ROWS, COLUMNS), np.uint8)).save(tmp_path / "P0_RCC.png")
    evaluate(tmp_path)
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "P0_LCC.png: does not exist" in page
    assert "P0_RCC.png: has changed since it was scanned" in page


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_two_scans_are_compared_image_by_image(tmp_path: Path) -> None:
    write_scan(tmp_path / "found", more=0.05)
    write_scan(tmp_path / "other", threshold=0.75)
    saved = evaluate(tmp_path, "--against", str(tmp_path / "other"))
    differences = {name: each["value"] for name, each in saved["against"]["differences"].items()}
    assert differences["sensitivity"] == pytest.approx(1 / 3)
    assert differences["false_marks"] == 1.0
    assert saved["against"]["operating_point"] == 0.75
    assert "other scan" in (tmp_path / "out" / "evaluation.html").read_text()


def test_scans_of_different_images_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scan(tmp_path / "found")
    other = json.loads((write_scan(tmp_path / "other") / "findings.json").read_text())
    del other["images"][4]
    (tmp_path / "other" / "findings.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit, match="2"):
        evaluate(tmp_path, "--against", str(tmp_path / "other"))
    assert f"../P2_LCC.png: is not in {tmp_path / 'other'}; compare" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_normal_images_alone_have_false_marks_and_nothing_else(tmp_path: Path) -> None:
    write_scan(tmp_path / "found")
    saved = evaluate(tmp_path, lines=[])
    assert saved["clusters"] == 0
    assert saved["figures"]["sensitivity"] == {"value": None, "ci95": None}
    assert saved["figures"]["false_marks"]["value"] == 2.0
    assert "False marks: 12" in (tmp_path / "out" / "evaluation.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("error")
def test_without_a_normal_image_there_is_no_roc(tmp_path: Path) -> None:
    write_scan(tmp_path / "found")
    saved = evaluate(tmp_path, "--others", "skip")
    assert (saved["images"], saved["normal_images"]) == (3, 0)
    assert saved["figures"]["auc_by_image"]["value"] is None
    assert saved["curve"]["false_marks_on_normals"] is None
    assert (tmp_path / "out" / "evaluation.html").read_text().count('src="data:image/png;base64,') == 4


@pytest.mark.usefixtures("undrawn")
def test_one_of_a_kind_is_not_written_as_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scan(tmp_path / "found")
    (tmp_path / "truth.csv").write_text("\n".join(["file,left,top,right,bottom", LINES[0]]))
    where = ["--truth", str(tmp_path / "truth.csv"), "--out", str(tmp_path / "out")]
    main(["evaluate", str(tmp_path / "found"), *where, "--others", "skip"])
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "1 image of 1 patient, 1 cluster; 0 images without a cluster" in page
    assert "1 image, 1 patient, 1 cluster: " in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_the_command_prints_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scan(tmp_path / "found")
    (tmp_path / "truth.csv").write_text("\n".join(["file,left,top,right,bottom", *LINES]))
    main(["evaluate", str(tmp_path / "found"), "--truth", str(tmp_path / "truth.csv"), "--others", "normal"])
    printed = capsys.readouterr().out
    assert re.search(r"sensitivity at the operating point +0.667 *\n", printed)
    assert "a figure has no interval where fewer than 6 patients have what it needs" in printed
    assert "6 images, 3 patients, 9 clusters" in printed
    assert (tmp_path / "found" / "evaluation.html").exists()


def test_without_a_scan_or_a_truth_the_command_says_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "truth.csv").write_text("\n".join(["file,left,top,right,bottom", *LINES]))
    for arguments in ([str(tmp_path), "--truth", str(tmp_path / "truth.csv")], [str(tmp_path), "--truth", "gone"]):
        with pytest.raises(SystemExit, match="2"):
            main(["evaluate", *arguments])
    written = " ".join(capsys.readouterr().err.split())
    assert "give the --out of a finished scan" in written
    assert "gone: does not exist; give a CSV" in written
