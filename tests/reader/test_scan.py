"""``microcalc scan``: the folder that it leaves, read back, and what a second scan changes in it."""

import csv
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import PIL.Image
import pydicom
import pytest
from dicom.made import SPACING, items, write_mammogram

from microcalc.cli import main
from microcalc.data.phantom_mammograms import iter_phantom_mammograms
from microcalc.mammograms import scanner
from microcalc.mammograms.findings import Scan, ScannedImage
from microcalc.mammograms.overlay import MARKED, UNMARKED
from microcalc.reader import tasks

pytestmark = pytest.mark.slow
ODD = "#1 50%?\n\udcff.1.2.3.1"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of three patients with pixels of 0.08 x 0.05 mm, two of one name and one of an odd one; and half a film."""
    folder = tmp_path_factory.mktemp("films")
    made = iter_phantom_mammograms(20, difficulty=0.0, seed=5, field_mm=(110, 70), pixel_size_mm=SPACING[1])
    phantom = next(each for each in made if len(each.clusters) == 2).pixels
    size = (phantom.shape[1], round(phantom.shape[0] * SPACING[1] / SPACING[0]))
    pixels = np.asarray(PIL.Image.fromarray(phantom.astype(np.float32)).resize(size, PIL.Image.Resampling.BOX)) / 65535
    views = {"a/film.dcm": pixels, "b/film.dcm": pixels[:, ::-1], f"c/{ODD}": pixels[::-1]}
    for number, (name, view) in enumerate(views.items()):
        (folder / name).parent.mkdir()
        content = np.rint(view * 4095).astype(np.uint16).tobytes()
        shape = {"Rows": view.shape[0], "Columns": view.shape[1], "PixelData": content}
        write_mammogram(folder / name, number=number, study=number, PatientName=f"Patient^{number}", **shape)
    whole = (folder / "a/film.dcm").read_bytes()
    (folder / "b/half.dcm").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def scanned(films: Path) -> Path:
    """A folder of results of all films, whose tests copy it."""
    with pytest.raises(SystemExit, match="1"):
        main(["scan", str(films), "--out", str(films.parent / "scanned"), "--dicom", "-q"])
    return films.parent / "scanned"


@pytest.fixture
def out(scanned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scanned, tmp_path / "out"))


def scan(*options: object, code: int = 0) -> None:
    try:
        main(["scan", *map(str, options)])
        assert code == 0
    except SystemExit as end:
        assert end.code == code


def saved(out: Path) -> dict[str, Any]:
    return json.loads((out / "findings.json").read_text())


def files(films: Path) -> list[str]:
    return [str(films / name) for name in ("a/film.dcm", "b/film.dcm", f"c/{ODD}")]


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a mammogram is scanned again")


def test_json_csv_pictures_and_objects_hold_the_findings_of_their_own_film(films: Path, out: Path) -> None:
    found = saved(out)
    assert found["schema"] == 2 and found["operating_point"] == scanner.packaged_opinion().threshold
    assert [image["file"] for image in found["images"]] == files(films)
    (failed,) = found["failed"]
    assert Path(failed["file"]).name == "half.dcm" and "half" not in failed["reason"]
    for image, name in zip(found["images"], ("film", "film-2", ODD), strict=True):
        header, report = pydicom.dcmread(image["file"]), pydicom.dcmread(out / "dicom" / f"{name}.sr.dcm")
        expected = scanner.scan_image(image["file"]).to_dict()
        assert image["sop_instance_uid"] == header.SOPInstanceUID and image["pixel_size_mm"] == list(SPACING)
        assert image["findings"] == json.loads(json.dumps(expected["findings"])) and len(image["findings"]) >= 3
        assert report.PatientName == header.PatientName
        marks = sum(finding["marked"] for finding in image["findings"])
        assert len(list(items(report, "Single Image Finding"))) >= marks >= 1
        shape = PIL.Image.open(out / "overlays" / f"{name}.png").size
        assert shape[0] / shape[1] == pytest.approx(header.Columns * SPACING[1] / header.Rows / SPACING[0], rel=0.01)
    with (out / "findings.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    flat = [(image, finding) for image in found["images"] for finding in image["findings"]]
    for row, (image, finding) in zip(rows, flat, strict=True):
        assert row["file"] == image["file"].encode(errors="backslashreplace").decode()
        numbers = [finding["number"], finding["marked"], len(finding["calcifications_px"])]
        assert [int(row[name]) for name in ("number", "marked", "calcifications")] == numbers
        places = [float(row[name]) for name in ("center_column_px", "center_row_px")]
        assert places == pytest.approx(finding["center_px"], abs=0.01)
        assert [int(row[name]) for name in ("left_px", "top_px", "right_px", "bottom_px")] == finding["box_px"]
        assert float(row["probability"]) == pytest.approx(finding["probability"], rel=1e-5)
        assert float(row["extent_mm"]) == pytest.approx(finding["extent_mm"], abs=0.01)


def test_links_of_the_contact_sheet_lead_to_the_pictures_whatever_their_names(out: Path) -> None:
    page = (out / "index.html").read_bytes().decode()
    links = [unescape(link) for link in re.findall(r'src="([^"]*)"', page)]
    assert len(links) == 3 and all((out / unquote(link, errors="surrogateescape")).is_file() for link in links)
    assert not any(set(link) & set("#?\n ") for link in links)
    assert "half.dcm" in page and page.count("<figure>") == 3
    assert "are blue and thin" in page and "width=device-width" in page


def test_a_finished_scan_is_read_again_whatever_the_names_of_its_files(out: Path) -> None:
    scan = Scan.read(out)
    assert list(scan.images) == [ScannedImage.from_dict(image) for image in saved(out)["images"]]
    assert any("\udcff" in image.file for image in scan.images)


def test_a_scan_of_other_files_keeps_all_rows_and_scans_nothing_twice(films: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out"
    scan(films / "b/film.dcm", "--out", out, "-q")
    first = saved(out)["images"][0]
    with monkeypatch.context() as patch:
        patch.chdir(films / "a")
        scan("film.dcm", "--out", out, "-q")
    assert [image["file"] for image in saved(out)["images"]] == files(films)[:2]
    assert saved(out)["images"][1] == first
    assert (out / "findings.csv").read_text().count("film.dcm") > 10
    assert (out / "index.html").read_text().count("<figure>") == 2
    monkeypatch.setattr(tasks, "scan_mammogram", refuse)
    scan(films / "a" / ".." / "b/film.dcm", films / "a", "--out", out, "-q")


def colours(out: Path) -> dict[str, list[int]]:
    """Whether each overlay has marks, and other findings: how many pixels are yellow, and blue."""
    pictures = {path.name: np.asarray(PIL.Image.open(path)) for path in (out / "overlays").iterdir()}
    return {
        name: [int((drawn == colour).all(axis=2).sum()) for colour in (MARKED, UNMARKED)]
        for name, drawn in pictures.items()
    }


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_another_threshold_needs_no_new_scan_and_no_mammogram_but_for_dicom(
    named: bool, films: Path, out: Path, monkeypatch, capsys
) -> None:
    before, drawn = saved(out), colours(out)
    monkeypatch.setattr(tasks, "scan_mammogram", refuse)
    monkeypatch.setattr(tasks, "read_mammogram", refuse)
    other = (out / "dicom" / "film-2.sr.dcm").read_bytes()
    scan(*([films / "a", "--dicom"] if named else []), "--out", out, "--threshold", "0.01")
    after, said = saved(out), capsys.readouterr().out
    assert after["operating_point"] == 0.01
    for image, old in zip(after["images"], before["images"], strict=True):
        probabilities = [finding["probability"] for finding in image["findings"]]
        assert probabilities == [finding["probability"] for finding in old["findings"]]
        assert [finding["marked"] for finding in image["findings"]] == [each >= 0.01 for each in probabilities]
    marks = [sum(finding["marked"] for finding in image["findings"]) for image in after["images"]]
    assert f"{sum(marks)} findings in 3 mammograms" in said and (not named or f"film.dcm: {marks[0]} finding" in said)
    assert all(colours(out)[name][0] > yellow for name, (yellow, _) in drawn.items())
    assert b"at least 0.01" in (out / "dicom" / "film-2.sr.dcm").read_bytes() != other
    with (out / "images.csv").open(newline="") as table:
        assert [int(row["marks"]) for row in csv.DictReader(table)] == marks
    scan("--out", out, "--threshold", repr(before["operating_point"]))
    assert (saved(out), colours(out)) == (before, drawn)
    assert (out / "dicom" / "film-2.sr.dcm").read_bytes() == other


def test_dicom_objects_of_a_film_that_changed_or_is_gone_go_with_another_threshold_and_its_findings_stay(
    films: Path, out: Path, tmp_path: Path
) -> None:
    results = out / "results.jsonl"
    results.write_text(results.read_text().replace(str(films), str(tmp_path)))
    shutil.copytree(films / "a", tmp_path / "a")
    (tmp_path / "b").mkdir()
    changed = (films / "b/film.dcm").read_bytes().replace(b"Patient^1", b"Patient^9")
    (tmp_path / "b/film.dcm").write_bytes(changed)
    scan("--out", out, "--threshold", "0.01", "-q")
    kept = {f"film.{kind}.dcm" for kind in ("sr", "pr", "sc", "regions")}
    assert {path.name for path in (out / "dicom").iterdir()} == kept
    assert len(saved(out)["images"]) == 3


def test_images_and_exams_are_rows_with_patient_side_and_view_also_without_a_finding(films: Path, out: Path) -> None:
    with (out / "images.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    for row, image in zip(rows, saved(out)["images"], strict=True):
        header = pydicom.dcmread(image["file"])
        known = [header.PatientID, header.StudyInstanceUID, header.ImageLaterality, "CC"]
        assert [row[name] for name in ("patient", "study", "side", "view")] == known
        assert [image[name] for name in ("patient", "study", "side", "view")] == known
        assert [float(row["row_spacing_mm"]), float(row["column_spacing_mm"])] == list(SPACING)
        best = max(finding["probability"] for finding in image["findings"])
        assert float(row["highest_probability"]) == pytest.approx(best, rel=1e-5) and row["read"] == "0"


@pytest.mark.parametrize("options", [["--threshold", "0.2"], []])
def test_marking_anew_needs_a_finished_scan_and_a_threshold(options: list[str], tmp_path: Path, capsys) -> None:
    scan("--out", tmp_path, *options, code=2)
    error = capsys.readouterr().err
    assert ("give the --out of a finished scan" if options else "no images are named") in error
    assert error.count("\n") == 1


def test_a_heat_map_is_bright_at_the_best_finding(films: Path, tmp_path: Path) -> None:
    scan(films / "a", "--out", tmp_path, "--heatmap", "--no-overlays", "-q")
    (image,) = saved(tmp_path)["images"]
    drawn = np.asarray(PIL.Image.open(tmp_path / "heatmaps/film.png").convert("RGB")).astype(float)
    column, row = (np.array(image["findings"][0]["center_px"]) * SPACING[::-1] / 0.34).astype(int)
    coloured = drawn.max(axis=2) - drawn.min(axis=2)
    assert coloured[row - 3 : row + 4, column - 3 : column + 4].mean() > 3 * coloured.mean()
    assert not (tmp_path / "overlays").exists()


def test_a_committee_that_was_trained_again_in_its_folder_is_another(films: Path, tmp_path: Path, capsys) -> None:
    packaged = Path(scanner.__file__).parents[1] / "pretrained"
    shutil.copytree(packaged, tmp_path / "committee")
    options = [films / "a", "--committee", tmp_path / "committee", "--out", tmp_path / "out", "-q"]
    scan(*options)
    description = json.loads((packaged / "committee.json").read_text())
    description["calibration"]["intercept"] -= 1
    (tmp_path / "committee" / "committee.json").write_text(json.dumps(description))
    scan(*options, code=2)
    error = capsys.readouterr().err
    assert "other settings (committee sha256: " in error and error.count("\n") == 1
    scan(*options[:-2], tmp_path / "other", "-q")
    assert saved(tmp_path / "other")["images"][0]["findings"] != saved(tmp_path / "out")["images"][0]["findings"]


def test_a_missing_pixel_size_and_a_patch_have_errors_of_their_own(tmp_path: Path, capsys) -> None:
    for name, side in (("film", 1000), ("patch", 60)):
        PIL.Image.fromarray(np.full((side + 9, side), 99, np.uint8)).save(tmp_path / f"{name}.png")
    options = [tmp_path / "film.png", tmp_path / "patch.png", "--out", tmp_path / "out"]
    scan(*options, code=1)
    said = " ".join(capsys.readouterr().out.split())
    assert "film.png: has no pixel size; give the pixel size in mm not" in said
    assert "patch.png: has no pixel size; give the pixel size in mm; for a patch, use microcalc predict" in said
    scan(*options, "--pixel-size", "0.1", code=1)
    said = " ".join(capsys.readouterr().out.split())
    assert "check the pixel size, or use microcalc predict for a patch" in said


@pytest.mark.parametrize(
    "wrong", [["--threshold", "1.5"], ["--pixel-size", "0"], ["--committee", "nowhere"], ["--workers", "0"]]
)
def test_a_wrong_option_leaves_with_2_and_nothing_written(films: Path, tmp_path: Path, wrong: list[str]) -> None:
    scan(films / "a", "--out", tmp_path / "out", *wrong, code=2)
    assert not (tmp_path / "out").exists()
