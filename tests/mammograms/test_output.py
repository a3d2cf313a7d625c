"""The folder that a scan leaves."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from microcalc.cli import main
from microcalc.mammograms import output
from microcalc.mammograms.output import FailedImage, Scanner
from microcalc.mammograms.scanner import packaged, packaged_opinion

MakeScanner = Callable[..., Scanner]


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """Two mammograms of one name in two folders, and a broken file."""
    for name, image in (("a/left.png", pixels), ("b/left.png", pixels[:, ::-1])):
        (tmp_path / name).parent.mkdir()
        PIL.Image.fromarray(np.rint(image[::2, ::2] * 255).astype(np.uint8)).save(tmp_path / name)
    whole = (tmp_path / "a/left.png").read_bytes()
    (tmp_path / "b/broken.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path


@pytest.fixture
def make(tmp_path: Path) -> MakeScanner:
    return lambda **options: Scanner(
        tmp_path / "out", packaged(), "pretrained", packaged_opinion(), **{"pixel_size_mm": 0.1, **options}
    )


def files(folder: Path) -> list[Path]:
    return [folder / "a/left.png", folder / "b/left.png", folder / "b/broken.png"]


def test_the_folder_holds_findings_table_overlays_and_contact_sheet(folder: Path, make: MakeScanner) -> None:
    results = list(make().run(files(folder)))
    assert isinstance(results[2], FailedImage)
    out = folder / "out"
    saved = json.loads((out / "findings.json").read_text())
    assert {key: saved[key] for key in ("schema", "committee", "operating_point")} == {
        "schema": 2,
        "committee": "pretrained",
        "operating_point": packaged_opinion().threshold,
    }
    assert [image["file"] for image in saved["images"]] == [str(file) for file in files(folder)[:2]]
    assert [entry["file"] for entry in saved["failed"]] == [str(folder / "b/broken.png")]
    assert "broken.png" not in saved["failed"][0]["reason"]
    assert sorted(path.name for path in (out / "overlays").iterdir()) == ["left-2.png", "left.png"]
    with (out / "findings.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == sum(len(image["findings"]) for image in saved["images"])
    assert float(rows[0]["probability"]) == pytest.approx(saved["images"][0]["findings"][0]["probability"], rel=1e-5)
    page = (out / "index.html").read_text()
    assert "overlays/left-2.png" in page and "broken.png" in page


def test_a_second_run_scans_nothing_twice_and_tries_failures_again(
    folder: Path, make: MakeScanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list(make().run(files(folder)))
    before = (folder / "out/findings.json").read_bytes()
    read, kept = [], output.read_mammogram
    monkeypatch.setattr(output, "read_mammogram", lambda file: (read.append(file), kept(file))[1])
    assert list(make().run(files(folder))) == first
    assert read == [folder / "b/broken.png"]
    assert (folder / "out/findings.json").read_bytes() == before


def test_a_scan_that_was_stopped_goes_on_also_after_half_a_line(folder: Path, make: MakeScanner) -> None:
    running: Iterator[object] = make().run(files(folder))
    first = next(running)
    running.close()  # type: ignore[attr-defined]
    assert not (folder / "out/findings.json").exists()
    with (folder / "out/progress.jsonl").open("a") as log:
        log.write('{"path": "half')
    results = list(make().run(files(folder)))
    assert results[0] == first
    assert sorted(path.name for path in (folder / "out/overlays").iterdir()) == ["left-2.png", "left.png"]


def test_a_file_that_changed_is_scanned_again(folder: Path, make: MakeScanner) -> None:
    before = list(make().run(files(folder)))
    (folder / "a/left.png").write_bytes((folder / "b/left.png").read_bytes())
    after = list(make().run(files(folder)))
    assert before[0] != after[0] and before[1] == after[1]
    assert sorted(path.name for path in (folder / "out/overlays").iterdir()) == ["left-2.png", "left.png"]


def test_a_folder_with_other_settings_is_refused(folder: Path, make: MakeScanner) -> None:
    list(make().run(files(folder)[:1]))
    with pytest.raises(output.RequestError, match="other settings"):
        list(make(pixel_size_mm=0.09).run(files(folder)[:1]))


def test_a_heat_map_is_bright_at_the_best_finding(folder: Path, make: MakeScanner) -> None:
    (scanned, *_) = make(heatmap=True).run(files(folder)[:1])
    drawn = np.asarray(PIL.Image.open(folder / "out/heatmaps/left.png").convert("RGB")).astype(float)
    column, row = (np.array(scanned.findings[0].center_px) * 0.1 / 0.34).astype(int)
    coloured = drawn.max(axis=2) - drawn.min(axis=2)
    assert coloured[row - 3 : row + 4, column - 3 : column + 4].mean() > 3 * coloured.mean()


def test_the_command_scans_and_leaves_with_1_where_a_file_failed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["scan", str(folder / "a"), "--out", str(folder / "out"), "--pixel-size", "0.1", "--threshold", "0.01"]
    main(arguments)
    assert json.loads((folder / "out/findings.json").read_text())["operating_point"] == 0.01
    with pytest.raises(SystemExit, match="1"):
        main(["scan", str(folder / "b"), "--out", str(folder / "other"), "--pixel-size", "0.1"])
    told = capsys.readouterr()
    assert "broken.png" in told.out
    assert "1 of 2 files could not be scanned" in told.err
    assert len(json.loads((folder / "other/findings.json").read_text())["images"]) == 1


@pytest.mark.parametrize("wrong", [["--threshold", "1.5"], ["--pixel-size", "0"], ["--committee", "nowhere"]])
def test_a_wrong_option_leaves_with_2_and_nothing_written(folder: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["scan", str(folder / "a"), "--out", str(folder / "out"), *wrong])
    assert not (folder / "out").exists()
